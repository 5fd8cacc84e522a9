"""Resume of a half-done chain from a SQLite file: how long until the first new task runs."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import databases
from benchmarks.measure import fresh
from benchmarks.rows import Goal, Row, Samples

NAME = "resume"
PHASES = {
    "built": "the flow built",
    "read": "the book read",
    "loaded": "load",
    "started": "run, to that task",
}
Told = list[dict[str, float]]


def rows(quick: bool) -> Iterator[Row]:
    """Half-done flows in fresh processes: a large one beside a bare read, a small one beside TaskFlow.

    Args:
        quick: small sizes, to show that it works.

    Yields:
        The lines of the table.
    """
    size, repeats = (2_000, 1) if quick else (100_000, 3)
    told, bare = resumed("stackl_flow", size, repeats, query="?synchronous=OFF")
    case, goal = f"half-done flow of {size:,}", Goal(at_most=50)
    yield Row(NAME, f"{case}, to the first new task", "us", part(told, "all"), bare, goal, not quick)
    for phase, words in PHASES.items():
        yield Row(NAME, f"- of it: {words}", "us", part(told, phase))
    size, repeats = (20, 1) if quick else (200, 3)
    ours, _ = resumed("stackl_flow", size, repeats)
    theirs, _ = resumed("taskflow", size, repeats)
    case = f"half-done flow of {size:,}, to the first new task"
    yield Row(NAME, case, "us", part(ours, "all"), part(theirs, "all", "TaskFlow"))


def part(told: Told, phase: str, name: str = "ours") -> Samples:
    """One phase of the resumes.

    Args:
        told: what each resume told.
        phase: which of its figures.
        name: whose they are.

    Returns:
        The samples, in seconds a task.
    """
    return Samples(name, [one[phase] for one in told])


def resumed(name: str, size: int, repeats: int, query: str = "") -> tuple[Told, Samples]:
    """Let a process die in the middle of a flow, then others resume it; each dies in the same task again.

    Args:
        name: the library.
        size: how many tasks.
        repeats: how many resumes.
        query: the rest of the URL for the first process: how the flow got there is not measured.

    Returns:
        What each resume told, and seconds a task of a bare read of the atoms' rows.
    """
    told, bare = [], []
    with databases.scratch() as path:
        fresh("resume_process:die_half_way", name=name, size=size, path=str(path), query=query)
        for _ in range(repeats):
            bare.append(bare_read(path) / size)
            told.append(fresh("resume_process:resume", name=name, size=size, path=str(path)))
    return told, Samples("bare read of the rows", bare)


def bare_read(path: Path) -> float:
    """Read every atom of the file into Python.

    Args:
        path: the database.

    Returns:
        Seconds.
    """
    start = time.perf_counter()
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("SELECT * FROM atomdetails").fetchall()
    return time.perf_counter() - start
