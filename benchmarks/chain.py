"""A chain of no-op tasks that pass a value on, in memory, serial: the engine's cost of a task."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.engine import chain_cost
from benchmarks.measure import interleave
from benchmarks.peers import dask_seconds
from benchmarks.programs import chain_graph
from benchmarks.rows import Goal, Row

NAME = "chain"


def rows(quick: bool) -> Iterator[Row]:
    """Compare with TaskFlow at 1,000 tasks and with dask's serial scheduler at 10,000."""
    yield compare_with_taskflow(*((100, 1) if quick else (1_000, 3)), judged=not quick)
    yield compare_with_dask(*((1_000, 3) if quick else (10_000, 9)), judged=not quick)


def compare_with_taskflow(size: int, repeats: int, judged: bool) -> Row:
    """Run the chain on both libraries."""
    ours, peer = interleave(
        repeats,
        {"ours": lambda: chain_cost("stackl_flow", size), "TaskFlow": lambda: chain_cost("taskflow", size)},
    )
    return Row(NAME, f"{size:,} tasks, memory, serial", "us", ours, peer, Goal(at_least_faster=500), judged)


def compare_with_dask(size: int, repeats: int, judged: bool) -> Row:
    """Run the chain on the serial engine and with ``dask.get``."""
    graph = chain_graph(size)
    ours, peer = interleave(
        repeats,
        {
            "ours": lambda: chain_cost("stackl_flow", size),
            "dask.get": lambda: dask_seconds(graph, [f"v{size}"], size) / size,
        },
    )
    return Row(NAME, f"{size:,} tasks, memory, serial", "us", ours, peer, Goal(at_most_ratio=0.75), judged)
