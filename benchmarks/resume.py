"""Resume of a half-done chain from SQLite: time until the first new task runs."""

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
Results = list[dict[str, float]]


def rows(quick: bool) -> Iterator[Row]:
    """Compare a large flow with a bare read of its rows, and a small one with TaskFlow."""
    size, repeats = (2_000, 1) if quick else (100_000, 3)
    results, bare = measure("stackl_flow", size, repeats, query="?synchronous=OFF")
    case, goal = f"half-done flow of {size:,}", Goal(at_most=40)
    yield Row(
        NAME, f"{case}, to the first new task", "us", phase_samples(results, "all"), bare, goal, not quick
    )
    for phase, label in PHASES.items():
        yield Row(NAME, f"- of it: {label}", "us", phase_samples(results, phase))
    size, repeats = (20, 1) if quick else (200, 3)
    ours, _ = measure("stackl_flow", size, repeats)
    theirs, _ = measure("taskflow", size, repeats)
    case = f"half-done flow of {size:,}, to the first new task"
    yield Row(NAME, case, "us", phase_samples(ours, "all"), phase_samples(theirs, "all", "TaskFlow"))


def phase_samples(results: Results, phase: str, name: str = "ours") -> Samples:
    """Collect one phase of all resumes.

    Returns:
        The samples, in seconds a task.
    """
    return Samples(name, [result[phase] for result in results])


def measure(name: str, size: int, repeats: int, query: str = "") -> tuple[Results, Samples]:
    """End a process in the middle of a flow, then resume it repeatedly; each resume ends in the same task.

    Returns:
        The phases of each resume, and seconds a task of a bare read of the atoms' rows.
    """
    results, bare = [], []
    with databases.scratch() as path:
        fresh("resume_process:die_half_way", name=name, size=size, path=str(path), query=query)
        for _ in range(repeats):
            bare.append(bare_read(path) / size)
            results.append(fresh("resume_process:resume", name=name, size=size, path=str(path)))
    return results, Samples("bare read of the rows", bare)


def bare_read(path: Path) -> float:
    """Read all atoms of the file.

    Returns:
        Seconds.
    """
    start = time.perf_counter()
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("SELECT * FROM atomdetails").fetchall()
    return time.perf_counter() - start
