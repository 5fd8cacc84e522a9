"""What tasks do to the world outside, as lines of a file that outlives whatever process wrote them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

EXECUTE: Final = "execute"
REVERT: Final = "revert"


class Effect(NamedTuple):
    """One side effect of one task.

    ``attempt`` is the number of the retry's attempt, 1 where there is none; ``owner`` is the engine that ran
    the task, by the name under which it owned the flow.
    """

    job: int
    atom: str
    what: str
    attempt: int
    owner: str
    pid: int


def note(ledger: str | Path, line: str) -> None:
    """Append a line in one write, which no other process's line can cut in two.

    Args:
        ledger: the file; made when it is missing.
        line: text without a line end.
    """
    handle = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)


def tell(ledger: str | Path, effect: Effect) -> None:
    """Write an effect down.

    Args:
        ledger: the file.
        effect: what was done.
    """
    note(ledger, " ".join(map(str, effect)))


def read(ledger: Path) -> list[Effect]:
    """Read all effects, in the order in which they happened.

    Args:
        ledger: the file.

    Returns:
        The effects; none if there is no file.
    """
    if not ledger.exists():
        return []
    rows = (line.split(" ") for line in ledger.read_text().splitlines())
    return [
        Effect(int(job), atom, what, int(attempt), owner, int(pid))
        for job, atom, what, attempt, owner, pid in rows
    ]
