"""Jobs: work is posted on a board, and whatever conductor has time claims it and runs its flow."""

import logging
import tempfile

from stackl_flow import exceptions, task
from stackl_flow.conductors import Conductor, post_flow
from stackl_flow.jobboards import backends as boards
from stackl_flow.patterns import linear_flow
from stackl_flow.persistence import backends as stores


def reserve(goods: str) -> str:
    """Take goods from the shelf."""
    print(f"  {goods} taken from the shelf")
    return f"parcel with {goods}"


def put_back(goods: str, **_: object) -> None:
    """Put them back, because the order failed."""
    print(f"  {goods} put back")


def send(parcel: str, country: str) -> str:
    """Send a parcel where the post goes."""
    if country == "Atlantis":
        raise ValueError("no post goes to Atlantis")
    return f"{parcel} to {country}"


def order() -> linear_flow.Flow:
    """Make the flow; conductors import this function by its name."""
    take = task.FunctorTask(reserve, revert=put_back, provides="parcel")
    return linear_flow.Flow("order").add(take, task.FunctorTask(send, provides="sent"))


def main() -> None:
    """Post three orders, have them worked on, and ask what came of them."""
    with (
        tempfile.TemporaryDirectory() as folder,
        stores.backend(f"sqlite:///{folder}/flows.db") as store,
        boards.backend("orders", f"sqlite:///{folder}/jobs.db", persistence=store) as board,
    ):
        store.get_connection().upgrade()
        for words in ("tea France LOW", "gold Atlantis LOW", "pills Peru HIGH"):
            goods, country, urgency = words.split()
            given = {"goods": goods, "country": country}
            post_flow(board, store, "jobs_and_conductors.order", name=goods, store=given, priority=urgency)
        jobs = list(board.iterjobs())  # the urgent first, then the old
        Conductor("ann", board, store).run(max_dispatches=3)  # most often, in a process of its own
        for job in jobs:
            try:
                print(f"{job.name}: {job.result()['sent']}")
            except exceptions.WrappedFailure as error:
                print(f"{job.name}: {next(iter(error)).exception_str}")


if __name__ == "__main__":
    logging.getLogger("stackl_flow").setLevel(logging.ERROR)  # a failure is warned of; here it is printed
    main()
