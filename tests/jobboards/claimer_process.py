"""An owner in a separate process: ``python -m tests.jobboards.claimer_process NAME BOARD LOG_FILE``.

It reports that it is ready, starts on a line of input, and ends when the board is empty.
"""

from __future__ import annotations

import os
import sys

from stackl_flow.jobboards import backends
from stackl_flow.jobboards.base import JobCompletion

#: Seconds without a job after which it checks whether the board is empty.
IDLE = 0.5
#: How many jobs it claims at once, as a conductor does with short jobs.
AT_ONCE = 4


def append_line(log_file, line):
    """Append a line in one write, so that lines of other processes do not break it."""
    handle = os.open(log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)


def main(name, address, log_file):
    with backends.backend("many", address) as board:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        completions = []
        while True:
            batch = board.complete_and_claim(name, completions, limit=AT_ONCE, timeout=IDLE)
            assert batch.rejected == (), "no other owner can end a claim that was not lost"
            completions = []
            for job in batch.jobs:
                append_line(log_file, f"{job.details['number']} {name}")
                completions.append(JobCompletion(job, "consumed"))
            if not batch.jobs and board.job_count == 0:
                return


if __name__ == "__main__":
    main(*sys.argv[1:])
