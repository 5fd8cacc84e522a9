"""A graph of layers, each task of which takes three values of the layer above, in memory, serial."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import programs
from benchmarks.measure import interleave
from benchmarks.peers import dask_seconds
from benchmarks.programs import library
from benchmarks.rows import Row
from benchmarks.running import engine_seconds

NAME = "layers"


def rows(quick: bool) -> Iterator[Row]:
    """Beside TaskFlow on a small graph and beside dask's serial scheduler on a large one.

    Args:
        quick: small sizes, to show that it works.

    Yields:
        The lines of the table.
    """
    yield beside_taskflow(*((5, 10, 1) if quick else (20, 20, 3)))
    yield beside_dask(*((10, 50, 3) if quick else (100, 100, 7)))


def cost(name: str, width: int, depth: int) -> float:
    """Build the graph with a library and run it.

    Args:
        name: the library.
        width: tasks in a layer.
        depth: how many layers.

    Returns:
        Seconds a task.
    """
    lib = library(name)
    flow = programs.layers(lib, width, depth)
    store = {f"v0_{column}": 0 for column in range(width)}
    return engine_seconds(lib, flow, store, f"v{depth}_0", depth) / (width * depth)


def beside_taskflow(width: int, depth: int, repeats: int) -> Row:
    """The graph on both libraries."""
    ours, peer = interleave(
        repeats,
        {
            "ours": lambda: cost("stackl_flow", width, depth),
            "TaskFlow": lambda: cost("taskflow", width, depth),
        },
    )
    return Row(NAME, f"{width} x {depth} graph, memory, serial", "us", ours, peer)


def beside_dask(width: int, depth: int, repeats: int) -> Row:
    """The graph on our serial engine and on dask's."""
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
