"""One who claims jobs and runs them: ``python -m tests.jobboards.claimer NAME BOARD LEDGER``.

It says that it is there, begins when it is told to on its input, and ends when the board is empty.
"""

from __future__ import annotations

import os
import sys

from stackl_flow import exceptions as exc
from stackl_flow.jobboards import backends

#: Seconds without a job after which it looks whether the board is empty.
IDLE = 0.5


def note(ledger, line):
    """Append a line in one write, which no other process's line can cut in two."""
    handle = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)


def claim_one(board, name):
    for job in board.wait(IDLE):
        try:
            return board.claim(job, name)
        except (exc.UnclaimableJob, exc.NotFound):
            continue  # somebody else was quicker
    return None


def main(name, address, ledger):
    with backends.backend("many", address) as board:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        while True:
            job = claim_one(board, name)
            if job is None:
                if board.job_count == 0:
                    return
                continue
            note(ledger, f"{job.details['number']} {name}")
            board.consume(job, name)


if __name__ == "__main__":
    main(*sys.argv[1:])
