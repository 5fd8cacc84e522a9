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


def append_line(effect_log: str | Path, line: str) -> None:
    """Append a line in one write, so that lines of several processes do not mix."""
    handle = os.open(effect_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)


def record(effect_log: str | Path, effect: Effect) -> None:
    """Record an effect."""
    append_line(effect_log, " ".join(map(str, effect)))


def read(effect_log: Path) -> list[Effect]:
    """Read all effects, oldest first; none if there is no file."""
    if not effect_log.exists():
        return []
    rows = (line.split(" ") for line in effect_log.read_text().splitlines())
    return [
        Effect(int(job), atom, what, int(attempt), owner, int(pid))
        for job, atom, what, attempt, owner, pid in rows
    ]
