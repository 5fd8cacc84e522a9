"""A chain on the parallel engine: the worst case of a pool, since no tasks overlap."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from benchmarks.engine import chain_cost, require
from benchmarks.fanout import THREADS
from benchmarks.measure import interleave
from benchmarks.programs import step
from benchmarks.rows import Row

NAME = "parallel-chain"


def rows(quick: bool) -> Iterator[Row]:
    """Compare with a bare pool that gets one call after the other."""
    size, repeats = (500, 3) if quick else (5_000, 9)
    ours, peer = interleave(
        repeats,
        {
            "ours": lambda: chain_cost("stackl_flow", size, engine="parallel", max_workers=THREADS),
            "bare ThreadPoolExecutor": lambda: bare(size),
        },
    )
    yield Row(NAME, f"{size:,} tasks, {THREADS} threads", "us", ours, peer)


def bare(size: int) -> float:
    """Submit the calls to a bare pool, each with the result of the last one.

    Returns:
        Seconds a call; including start and end of the pool.
    """
    start = time.perf_counter()
    value = 0
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(size):
            value = pool.submit(step, value).result()
    spent = time.perf_counter() - start
    require(value, size)
    return spent / size
