"""Settings of a conductor's process."""

from __future__ import annotations

from typing import Final, NamedTuple

#: Name of the board.
BOARD: Final = "chaos"
#: Exit status of a process that could not start; it is started again.
STARTUP_FAILED: Final = 3


class WorkerSettings(NamedTuple):
    """``reports`` is a file to which the conductor appends a line for each job that it finished."""

    name: str
    board: str
    flows: str
    reports: str
    ttl: float
    slots: int
    workers: int
