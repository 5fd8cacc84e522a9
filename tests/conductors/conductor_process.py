"""A conductor in a separate process: ``python -m tests.conductors.conductor_process NAME BOARD DB``."""

from __future__ import annotations

import argparse
import signal
import sys

from stackl_flow.conductors import backends as conductors
from stackl_flow.jobboards import backends as boards
from stackl_flow.persistence import backends as stores


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("board")
    parser.add_argument("db")
    parser.add_argument("--lease-ttl", type=float, default=2.0)
    parser.add_argument("--max-claims", type=int, default=10)
    parser.add_argument("--slots", type=int, default=1)
    arguments = parser.parse_args()
    with (
        stores.backend(arguments.db) as store,
        boards.backend(
            "work",
            {"board": arguments.board, "ttl": arguments.lease_ttl, "max_claims": arguments.max_claims},
            persistence=store,
        ) as board,
    ):
        conductor = conductors.fetch(
            "nonblocking", arguments.name, board, persistence=store, max_simultaneous_jobs=arguments.slots
        )
        signal.signal(signal.SIGTERM, lambda *_: conductor.stop())
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        conductor.run()


if __name__ == "__main__":
    main()
