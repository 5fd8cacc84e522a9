"""An owner whose clock is wrong: ``python -m tests.jobboards.wrong_clock_process HOURS NAME BOARD URL...``.

It reads names of jobs from its input, tries to claim each on the boards at all URLs, and reports the results.
It keeps its claims until its input ends, then consumes the jobs and reports that.
"""

from __future__ import annotations

import contextlib
import sys

from stackl_flow import exceptions as exc
from stackl_flow.clock import SystemClock
from stackl_flow.jobboards import backends

#: Lease duration in seconds.
TTL = 2.0


class WrongClock(SystemClock):
    """The machine's clock, some hours off."""

    def __init__(self, hours: float) -> None:
        self._off = hours * 3600

    def now(self) -> float:
        """Return the wrong time of day."""
        return SystemClock.now() + self._off


def report(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def try_to_claim(board, wanted, name):
    (job,) = [each for each in board.iterjobs() if each.name == wanted]
    try:
        return board.claim(job, name)
    except exc.UnclaimableJob:
        return None


def main(hours: str, name: str, board_name: str, *urls: str) -> None:
    claims = []
    with contextlib.ExitStack() as stack:
        boards = [
            stack.enter_context(
                backends.fetch(board_name, {"board": url, "ttl": TTL}, clock=WrongClock(float(hours)))
            )
            for url in urls
        ]
        report("ready")
        for line in sys.stdin:
            results = [(board, try_to_claim(board, line.strip(), name)) for board in boards]
            claims += [(board, job) for board, job in results if job is not None]
            report(" ".join("refused" if job is None else "claimed" for _, job in results))
        for board, job in claims:
            board.consume(job, name)
        report("consumed")


if __name__ == "__main__":
    main(*sys.argv[1:])
