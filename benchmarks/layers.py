"""A layered graph in which each task takes three values of the layer above, in memory, serial."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import programs
from benchmarks.engine import engine_seconds
from benchmarks.measure import interleave
from benchmarks.peers import dask_seconds
from benchmarks.programs import library
from benchmarks.rows import Row

NAME = "layers"


def rows(quick: bool) -> Iterator[Row]:
    """Compare with TaskFlow on a small graph and with dask's serial scheduler on a large one."""
    yield compare_with_taskflow(*((5, 10, 1) if quick else (20, 20, 3)))
    yield compare_with_dask(*((10, 50, 3) if quick else (100, 100, 7)))


def cost(name: str, width: int, depth: int) -> float:
    """Build the graph with a library and run it.

    Returns:
        Seconds a task.
    """
    lib = library(name)
    flow = programs.layers(lib, width, depth)
    store = {f"v0_{column}": 0 for column in range(width)}
    return engine_seconds(lib, flow, store, f"v{depth}_0", depth) / (width * depth)


def compare_with_taskflow(width: int, depth: int, repeats: int) -> Row:
    """Run the graph on both libraries."""
    ours, peer = interleave(
        repeats,
        {
            "ours": lambda: cost("stackl_flow", width, depth),
            "TaskFlow": lambda: cost("taskflow", width, depth),
        },
    )
    return Row(NAME, f"{width} x {depth} graph, memory, serial", "us", ours, peer)


def compare_with_dask(width: int, depth: int, repeats: int) -> Row:
    """Run the graph on the serial engine and with ``dask.get``."""
    graph, tasks = programs.layers_graph(width, depth), width * depth
    last = [f"v{depth}_{column}" for column in range(width)]
    ours, peer = interleave(
        repeats,
        {
            "ours": lambda: cost("stackl_flow", width, depth),
            "dask.get": lambda: dask_seconds(graph, last, depth) / tasks,
        },
    )
    return Row(NAME, f"{width} x {depth} graph, memory, serial", "us", ours, peer)
