"""One who claims jobs and runs them: ``python -m tests.jobboards.claimer NAME BOARD LEDGER``.

It says that it is there, begins when it is told to on its input, and ends when the board is empty.
"""

from __future__ import annotations

import os
import sys

from stackl_flow.jobboards import backends
from stackl_flow.jobboards.base import Completion

#: Seconds without a job after which it looks whether the board is empty.
IDLE = 0.5
#: How many jobs it claims at once, as a conductor does with short jobs.
AT_ONCE = 4


def note(ledger, line):
    """Append a line in one write, which no other process's line can cut in two."""
    handle = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)


def main(name, address, ledger):
    with backends.backend("many", address) as board:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        ended = []
        while True:
            turn = board.complete_and_claim(name, ended, limit=AT_ONCE, timeout=IDLE)
            assert turn.rejected == (), "nobody else may end a claim that was not lost"
            ended = []
            for job in turn.jobs:
                note(ledger, f"{job.details['number']} {name}")
                ended.append(Completion(job, "consumed"))
            if not turn.jobs and board.job_count == 0:
                return


if __name__ == "__main__":
    main(*sys.argv[1:])
