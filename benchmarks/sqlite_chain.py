"""A chain checkpointed in a SQLite file (WAL, synchronous=FULL), beside a bare loop of one commit a task."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator

from benchmarks import databases
from benchmarks.measure import interleave
from benchmarks.programs import step
from benchmarks.rows import Goal, Row
from benchmarks.running import chain_cost, require

NAME = "sqlite-chain"


def rows(quick: bool) -> Iterator[Row]:
    """Beside the bare loop at 2,000 tasks, and beside TaskFlow at 50.

    Args:
        quick: small sizes, to show that it works.

    Yields:
        The lines of the table.
    """
    yield beside_loop(*((200, 3) if quick else (2_000, 9)), judged=not quick)
    yield beside_taskflow(*((10, 1) if quick else (50, 3)))


def durable(name: str, size: int) -> float:
    """Run the chain on a new SQLite file whose schema is in place.

    Args:
        name: the library.
        size: how many tasks.

    Returns:
        Seconds a task; storing the flow and its atoms is in it, making the tables is not.
    """
    with databases.scratch() as path, databases.opened(name, path) as backend:
        return chain_cost(name, size, backend=backend)


def bare(size: int) -> float:
    """Make the same calls, and commit one row for each.

    Args:
        size: how many calls.

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


def beside_loop(size: int, repeats: int, judged: bool) -> Row:
    """Our chain on SQLite beside the bare loop on the same file system."""
    ours, peer = interleave(
        repeats,
        {"ours": lambda: durable("stackl_flow", size), "bare loop of commits": lambda: bare(size)},
    )
    return Row(
        NAME, f"{size:,} tasks, WAL, synchronous=FULL", "us", ours, peer, Goal(at_most_ratio=1.5), judged
    )


def beside_taskflow(size: int, repeats: int) -> Row:
    """The chain on SQLite with both libraries, each with its own settings."""
    ours, peer = interleave(
        repeats,
        {"ours": lambda: durable("stackl_flow", size), "TaskFlow": lambda: durable("taskflow", size)},
    )
    return Row(NAME, f"{size:,} tasks", "us", ours, peer)
