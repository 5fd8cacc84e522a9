"""Memory a task beside TaskFlow: the resident size of a fresh process, before the flow and after its run."""

from __future__ import annotations

import gc
from collections.abc import Iterator

from benchmarks.measure import fresh, interleave, resident_bytes
from benchmarks.programs import chain, library
from benchmarks.rows import Row
from benchmarks.running import chain_cost

NAME = "memory"
WARM = 20


def rows(quick: bool) -> Iterator[Row]:
    """The chain held in memory by both libraries, user's tasks included.

    Args:
        quick: small sizes, to show that it works.

    Yields:
        The lines of the table.
    """
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
    """Build and run a chain, and keep all of it.

    Args:
        name: the library.
        size: how many tasks.

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
