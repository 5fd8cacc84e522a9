"""Independent no-op tasks on four threads, compared with a bare pool that makes the same calls."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait

from benchmarks.engine import engine_seconds, require
from benchmarks.measure import interleave
from benchmarks.programs import fan, library, step
from benchmarks.rows import Goal, Row

NAME = "fan-out"
THREADS = 4


def rows(quick: bool) -> Iterator[Row]:
    """Compare with a bare pool on a wide flow and with TaskFlow on a narrow one."""
    yield compare_with_pool(*((500, 3) if quick else (10_000, 9)), judged=not quick)
    yield compare_with_taskflow(*((50, 1) if quick else (500, 3)))


def cost(name: str, size: int) -> float:
    """Build the flow with a library and run it on its parallel engine.

    Returns:
        Seconds a task; including start and end of the pool.
    """
    lib = library(name)
    options = {"engine": "parallel", "max_workers": THREADS}
    return engine_seconds(lib, fan(lib, size), {"v0": 0}, f"w{size - 1}", 1, **options) / size


def bare(size: int) -> float:
    """Submit the same calls to a bare pool and wait for all of them.

    Returns:
        Seconds a call; including start and end of the pool.
    """
    start = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(step, 0) for _ in range(size)]
        wait(futures)
        value = futures[-1].result()
    spent = time.perf_counter() - start
    require(value, 1)
    return spent / size


def compare_with_pool(size: int, repeats: int, judged: bool) -> Row:
    """Compare the parallel engine with the pool of the standard library."""
    ours, peer = interleave(
        repeats,
        {"ours": lambda: cost("stackl_flow", size), "bare ThreadPoolExecutor": lambda: bare(size)},
    )
    return Row(NAME, f"{size:,} tasks, {THREADS} threads", "us", ours, peer, Goal(at_most_ratio=2), judged)


def compare_with_taskflow(size: int, repeats: int) -> Row:
    """Compare the parallel engines."""
    ours, peer = interleave(
        repeats,
        {"ours": lambda: cost("stackl_flow", size), "TaskFlow": lambda: cost("taskflow", size)},
    )
    return Row(NAME, f"{size:,} tasks, {THREADS} threads", "us", ours, peer)
