"""Side effects of tasks, as lines of a file that survives the processes that write them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

EXECUTE: Final = "execute"
REVERT: Final = "revert"


class Effect(NamedTuple):
    """One side effect of a task.

    ``attempt`` is the attempt of the retry, 1 without a retry; ``owner`` is the engine that ran the task, by
    the name under which it owned the flow.
    """

    job: int
    atom: str
    what: str
    attempt: int
    owner: str
    pid: int


def append_line(ledger: str | Path, line: str) -> None:
    """Append a line in one write, so that lines of several processes do not mix."""
    handle = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)


def record(ledger: str | Path, effect: Effect) -> None:
    """Record an effect."""
    append_line(ledger, " ".join(map(str, effect)))


def read(ledger: Path) -> list[Effect]:
    """Read all effects, oldest first; none if there is no file."""
    if not ledger.exists():
        return []
    rows = (line.split(" ") for line in ledger.read_text().splitlines())
    return [
        Effect(int(job), atom, what, int(attempt), owner, int(pid))
        for job, atom, what, attempt, owner, pid in rows
    ]
