"""Memory of a task, compared with TaskFlow: growth of the resident size of a fresh process."""

from __future__ import annotations

import gc
from collections.abc import Iterator

from benchmarks.engine import chain_cost
from benchmarks.measure import fresh, interleave, resident_bytes
from benchmarks.programs import chain, library
from benchmarks.rows import Row

NAME = "memory"
WARM = 20


def rows(quick: bool) -> Iterator[Row]:
    """Measure the chain, including the user's tasks, on both libraries."""
    size, repeats = (100, 1) if quick else (1_000, 3)
    ours, peer = interleave(
        repeats,
        {
            "ours": lambda: float(fresh("memory:probe", name="stackl_flow", size=size)["held"]),
            "TaskFlow": lambda: float(fresh("memory:probe", name="taskflow", size=size)["held"]),
        },
    )
    yield Row(NAME, f"{size:,} tasks, held after the run", "B", ours, peer)


def probe(name: str, size: int) -> dict[str, float]:
    """Build and run a chain and keep it.

    Returns:
        Bytes a task held when the run is done.
    """
    chain_cost(name, WARM)
    lib = library(name)
    gc.collect()
    before, _ = resident_bytes()
    flow = chain(lib, size)
    engine = lib.engines.load(flow, store={"v0": 0})
    engine.run()
    held, _ = resident_bytes()
    return {"held": max(held - before, 1) / size}
