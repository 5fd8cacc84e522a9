"""A chain in SQLite (WAL, synchronous=FULL), compared with a bare loop of one commit a task."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator

from benchmarks import databases
from benchmarks.engine import chain_cost, require
from benchmarks.measure import interleave
from benchmarks.programs import step
from benchmarks.rows import Goal, Row

NAME = "sqlite-chain"


def rows(quick: bool) -> Iterator[Row]:
    """Compare with the bare loop at 2,000 tasks and with TaskFlow at 50."""
    yield compare_with_loop(*((200, 3) if quick else (2_000, 9)), judged=not quick)
    yield compare_with_taskflow(*((10, 1) if quick else (50, 3)))


def durable(name: str, size: int) -> float:
    """Run the chain on a new SQLite file.

    Returns:
        Seconds a task, including storing the flow and its atoms, without creating the tables.
    """
    with databases.scratch() as path, databases.opened(name, path) as backend:
        return chain_cost(name, size, backend=backend)


def bare(size: int) -> float:
    """Make the same calls and commit one row for each.

    Returns:
        Seconds a call.
    """
    with databases.scratch() as path, contextlib.closing(sqlite3.connect(path, isolation_level=None)) as file:
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            file.execute(f"PRAGMA {pragma}")
        file.execute("CREATE TABLE done (task TEXT, result TEXT)")
        start = time.perf_counter()
        value = 0
        for index in range(size):
            value = step(value)
            file.execute("BEGIN IMMEDIATE")
            file.execute("INSERT INTO done VALUES (?, ?)", (f"t{index}", str(value)))
            file.execute("COMMIT")
        spent = time.perf_counter() - start
    require(value, size)
    return spent / size


def compare_with_loop(size: int, repeats: int, judged: bool) -> Row:
    """Compare with the bare loop on the same file system."""
    ours, peer = interleave(
        repeats,
        {"ours": lambda: durable("stackl_flow", size), "bare loop of commits": lambda: bare(size)},
    )
    return Row(
        NAME, f"{size:,} tasks, WAL, synchronous=FULL", "us", ours, peer, Goal(at_most_ratio=1.3), judged
    )


def compare_with_taskflow(size: int, repeats: int) -> Row:
    """Compare the libraries, each with its default settings."""
    ours, peer = interleave(
        repeats,
        {"ours": lambda: durable("stackl_flow", size), "TaskFlow": lambda: durable("taskflow", size)},
    )
    return Row(NAME, f"{size:,} tasks", "us", ours, peer)
