"""Post a job in your own transaction: it exists if and only if the transaction commits."""

import sqlite3
import tempfile
from pathlib import Path

from stackl_flow import task
from stackl_flow.conductors import Conductor
from stackl_flow.jobboards import backends as boards
from stackl_flow.patterns import linear_flow
from stackl_flow.persistence import backends as stores
from stackl_flow.submission import post_flow


def send(goods: str, country: str) -> str:
    """Send an order."""
    return f"{goods} to {country}"


def order() -> linear_flow.Flow:
    """Build the flow; conductors import this factory by its name."""
    return linear_flow.Flow("order").add(task.FunctorTask(send, provides="sent"))


def main() -> None:
    """Take two orders, one of which is rolled back; rows, flows and jobs are in one file."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/shop.db"
        with (
            stores.backend(url) as persistence,
            boards.backend("orders", url, persistence=persistence) as board,
        ):
            shop = sqlite3.connect(Path(folder, "shop.db"))
            shop.execute("CREATE TABLE orders (goods TEXT, country TEXT CHECK (country != 'Atlantis'))")
            for goods, country in (("tea", "France"), ("gold", "Atlantis")):
                try:
                    with shop:  # commits at the end, or rolls back
                        given = {"goods": goods, "country": country}
                        post_flow(board, persistence, "post_with_rows:order", store=given, connection=shop)
                        print(f"{goods}: visible jobs: {board.job_count}")
                        shop.execute("INSERT INTO orders VALUES (?, ?)", (goods, country))
                except sqlite3.IntegrityError as error:
                    print(f"{goods}: {error}")
                print(f"{goods}: visible jobs: {board.job_count}")
            jobs = list(board.iterjobs())
            Conductor("conductor-1", board, persistence).run(max_dispatches=1)
            for job in jobs:
                print(f"{job.name}: {job.result()['sent']}")
            print("orders:", [goods for (goods,) in shop.execute("SELECT goods FROM orders")])
            shop.close()


if __name__ == "__main__":
    main()
