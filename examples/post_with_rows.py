"""A job that lands with the rows it is about: posted in the program's own transaction, or never."""

import sqlite3
import tempfile
from pathlib import Path

from stackl_flow import task
from stackl_flow.conductors import Conductor, post_flow
from stackl_flow.jobboards import backends as boards
from stackl_flow.patterns import linear_flow
from stackl_flow.persistence import backends as stores


def send(goods: str, country: str) -> str:
    """Send what was ordered."""
    return f"{goods} to {country}"


def order() -> linear_flow.Flow:
    """Make the flow; conductors import this function by its name."""
    return linear_flow.Flow("order").add(task.FunctorTask(send, provides="sent"))


def main() -> None:
    """Take two orders, of which one is refused; rows, flows and jobs are in one file."""
    with tempfile.TemporaryDirectory() as folder:
        address = f"sqlite:///{folder}/shop.db"
        with (
            stores.backend(address) as store,
            boards.backend("orders", address, persistence=store) as board,
        ):
            shop = sqlite3.connect(Path(folder, "shop.db"))
            shop.execute("CREATE TABLE orders (goods TEXT, country TEXT CHECK (country != 'Atlantis'))")
            for goods, country in (("tea", "France"), ("gold", "Atlantis")):
                try:
                    with shop:  # commits at its end, or rolls back
                        given = {"goods": goods, "country": country}
                        post_flow(board, store, "post_with_rows.order", store=given, connection=shop)
                        print(f"{goods}: jobs that others see: {board.job_count}")
                        shop.execute("INSERT INTO orders VALUES (?, ?)", (goods, country))
                except sqlite3.IntegrityError as error:
                    print(f"{goods}: {error}")
                print(f"{goods}: jobs that others see: {board.job_count}")
            jobs = list(board.iterjobs())
            Conductor("ann", board, store).run(max_dispatches=1)
            for job in jobs:
                print(f"{job.name}: {job.result()['sent']}")
            print("orders:", [goods for (goods,) in shop.execute("SELECT goods FROM orders")])
            shop.close()


if __name__ == "__main__":
    main()
