"""Jobs: flows are posted on a board; a conductor claims the jobs and runs their flows."""

import logging
import tempfile

from stackl_flow import exceptions, task
from stackl_flow.conductors import Conductor
from stackl_flow.jobboards import backends as boards
from stackl_flow.patterns import linear_flow
from stackl_flow.persistence import backends as stores
from stackl_flow.submission import post_flow


def reserve(goods: str) -> str:
    """Reserve goods."""
    print(f"  {goods} reserved")
    return f"parcel with {goods}"


def release(goods: str, **_: object) -> None:
    """Release them, because the order failed."""
    print(f"  {goods} released")


def send(parcel: str, country: str) -> str:
    """Send a parcel."""
    if country == "Atlantis":
        raise ValueError("no delivery to Atlantis")
    return f"{parcel} to {country}"


def order() -> linear_flow.Flow:
    """Build the flow; conductors import this factory by its name."""
    take = task.FunctorTask(reserve, revert=release, provides="parcel")
    return linear_flow.Flow("order").add(take, task.FunctorTask(send, provides="sent"))


def main() -> None:
    """Post three orders, run them, and print their results."""
    with (
        tempfile.TemporaryDirectory() as folder,
        stores.backend(f"sqlite:///{folder}/flows.db") as persistence,
        boards.backend("orders", f"sqlite:///{folder}/jobs.db", persistence=persistence) as board,
    ):
        orders = ("tea", "France", "LOW"), ("gold", "Atlantis", "LOW"), ("pills", "Peru", "HIGH")
        for goods, country, level in orders:
            options = {"name": goods, "store": {"goods": goods, "country": country}, "priority": level}
            post_flow(board, persistence, "jobs_and_conductors:order", **options)
        jobs = list(board.iterjobs())  # by priority, then by age
        Conductor("conductor-1", board, persistence).run(max_dispatches=3)  # normally in another process
        for job in jobs:
            try:
                print(f"{job.name}: {job.result()['sent']}")
            except exceptions.WrappedFailure as error:
                print(f"{job.name}: {next(iter(error)).exception_str}")


if __name__ == "__main__":
    logging.getLogger("stackl_flow").setLevel(logging.ERROR)  # failures are printed below
    main()
