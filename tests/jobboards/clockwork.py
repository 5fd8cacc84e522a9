"""One whose clock is wrong: ``python -m tests.jobboards.clockwork HOURS NAME BOARD ADDRESS...``.

It reads names of jobs from its input, tries to claim each on the boards at all addresses, and says which it
has. Its claims it keeps until its input ends; then it consumes them, and says so.
"""

from __future__ import annotations

import contextlib
import sys

from stackl_flow import exceptions as exc
from stackl_flow.clock import SystemClock
from stackl_flow.jobboards import backends

#: Seconds a claim outlives its owner.
TTL = 2.0


class Wrong(SystemClock):
    """The machine's clock, some hours off."""

    def __init__(self, hours: float) -> None:
        self._off = hours * 3600

    def now(self) -> float:
        """Return the wrong time of day."""
        return SystemClock.now() + self._off


def say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def tried(board, wanted, name):
    (job,) = [each for each in board.iterjobs() if each.name == wanted]
    try:
        return board.claim(job, name)
    except exc.UnclaimableJob:
        return None


def main(hours: str, name: str, board_name: str, *addresses: str) -> None:
    mine = []
    with contextlib.ExitStack() as stack:
        boards = [
            stack.enter_context(
                backends.fetch(board_name, {"board": address, "ttl": TTL}, clock=Wrong(float(hours)))
            )
            for address in addresses
        ]
        say("ready")
        for line in sys.stdin:
            found = [(board, tried(board, line.strip(), name)) for board in boards]
            mine += [(board, job) for board, job in found if job is not None]
            say(" ".join("refused" if job is None else "claimed" for _, job in found))
        for board, job in mine:
            board.consume(job, name)
        say("consumed")


if __name__ == "__main__":
    main(*sys.argv[1:])
