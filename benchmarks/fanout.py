"""Independent no-op tasks on four threads, beside a bare pool that does the same calls."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait

from benchmarks.measure import interleave
from benchmarks.programs import fan, library, step
from benchmarks.rows import Goal, Row
from benchmarks.running import engine_seconds, require

NAME = "fan-out"
THREADS = 4


def rows(quick: bool) -> Iterator[Row]:
    """Beside a bare pool on a wide flow, and beside TaskFlow on a narrow one.

    Args:
        quick: small sizes, to show that it works.

    Yields:
        The lines of the table.
    """
    yield beside_pool(*((500, 3) if quick else (10_000, 9)), judged=not quick)
    yield beside_taskflow(*((50, 1) if quick else (500, 3)))


def cost(name: str, size: int) -> float:
    """Build the flow with a library and run it on its parallel engine.

    Args:
        name: the library.
        size: how many tasks.

    Returns:
        Seconds a task; the pool's start and end are in it.
    """
    lib = library(name)
    options = {"engine": "parallel", "max_workers": THREADS}
    return engine_seconds(lib, fan(lib, size), {"v0": 0}, f"w{size - 1}", 1, **options) / size


def bare(size: int) -> float:
    """Submit the same calls to a bare pool and wait for all of them.

    Args:
        size: how many calls.

    Returns:
        Seconds a call; the pool's start and end are in it.
    """
    start = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(step, 0) for _ in range(size)]
        wait(futures)
        value = futures[-1].result()
    spent = time.perf_counter() - start
    require(value, 1)
    return spent / size


def beside_pool(size: int, repeats: int, judged: bool) -> Row:
    """Our parallel engine beside the standard library's pool."""
    ours, peer = interleave(
        repeats,
        {"ours": lambda: cost("stackl_flow", size), "bare ThreadPoolExecutor": lambda: bare(size)},
    )
    return Row(NAME, f"{size:,} tasks, {THREADS} threads", "us", ours, peer, Goal(at_most_ratio=3), judged)


def beside_taskflow(size: int, repeats: int) -> Row:
    """Our parallel engine beside TaskFlow's."""
    ours, peer = interleave(
        repeats,
        {"ours": lambda: cost("stackl_flow", size), "TaskFlow": lambda: cost("taskflow", size)},
    )
    return Row(NAME, f"{size:,} tasks, {THREADS} threads", "us", ours, peer)
