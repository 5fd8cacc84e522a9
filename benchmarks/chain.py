"""A chain of no-op tasks passing a value, in memory, serial: what one task costs the engine."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.measure import interleave
from benchmarks.peers import dask_seconds
from benchmarks.programs import chain_graph
from benchmarks.rows import Goal, Row
from benchmarks.running import chain_cost

NAME = "chain"


def rows(quick: bool) -> Iterator[Row]:
    """Beside TaskFlow at 1,000 tasks and beside dask's serial scheduler at 10,000.

    Args:
        quick: small sizes, to show that it works.

    Yields:
        The lines of the table.
    """
    yield beside_taskflow(*((100, 1) if quick else (1_000, 3)), judged=not quick)
    yield beside_dask(*((1_000, 3) if quick else (10_000, 9)), judged=not quick)


def beside_taskflow(size: int, repeats: int, judged: bool) -> Row:
    """The chain on both libraries."""
    ours, peer = interleave(
        repeats,
        {"ours": lambda: chain_cost("stackl_flow", size), "TaskFlow": lambda: chain_cost("taskflow", size)},
    )
    return Row(NAME, f"{size:,} tasks, memory, serial", "us", ours, peer, Goal(at_least_faster=500), judged)


def beside_dask(size: int, repeats: int, judged: bool) -> Row:
    """The chain on our serial engine and on dask's."""
    graph = chain_graph(size)
    ours, peer = interleave(
        repeats,
        {
            "ours": lambda: chain_cost("stackl_flow", size),
            "dask.get": lambda: dask_seconds(graph, [f"v{size}"], size) / size,
        },
    )
    return Row(NAME, f"{size:,} tasks, memory, serial", "us", ours, peer, Goal(at_most_ratio=1), judged)
