"""The flows that are measured, written once for both libraries: TaskFlow's API is ours too.

The library is imported by name, because a process that measures the memory or the import of one of them must
not carry the other.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Library:
    """The modules of one of the two libraries."""

    name: str
    engines: Any
    task: Any
    linear: Any
    unordered: Any
    graph: Any


def library(name: str) -> Library:
    """Import a library's modules.

    Args:
        name: ``stackl_flow`` or ``taskflow``.

    Returns:
        Its modules under one set of names.
    """
    patterns = ("linear_flow", "unordered_flow", "graph_flow")
    return Library(
        name,
        importlib.import_module(f"{name}.engines"),
        importlib.import_module(f"{name}.task"),
        *(importlib.import_module(f"{name}.patterns.{pattern}") for pattern in patterns),
    )


def step(value: int) -> int:
    """The no-op: it passes a value on, one higher, so that the end of a run can be checked."""
    return value + 1


def join(a: int, b: int, c: int) -> int:
    """The no-op with three parents: one higher than the highest of them."""
    return max(a, b, c) + 1


def chain(lib: Library, size: int) -> Any:
    """A linear flow in which each task takes the value of the one before it.

    Args:
        lib: the library to build it with.
        size: how many tasks.

    Returns:
        The flow; it needs ``v0`` and provides ``v1`` to ``v<size>``.
    """
    flow = lib.linear.Flow("chain")
    for index in range(size):
        name, provides, takes = f"t{index}", f"v{index + 1}", {"value": f"v{index}"}
        flow.add(lib.task.FunctorTask(step, name=name, provides=provides, rebind=takes))
    return flow


def chain_graph(size: int) -> dict[str, Any]:
    """The same chain as a dask graph.

    Args:
        size: how many tasks.

    Returns:
        The graph; the last key is ``v<size>``.
    """
    graph: dict[str, Any] = {"v0": 0}
    for index in range(size):
        graph[f"v{index + 1}"] = (step, f"v{index}")
    return graph


def fan(lib: Library, size: int) -> Any:
    """An unordered flow of independent tasks.

    Args:
        lib: the library to build it with.
        size: how many tasks.

    Returns:
        The flow; it needs ``v0`` and provides ``w0`` to ``w<size - 1>``.
    """
    flow = lib.unordered.Flow("fan")
    for index in range(size):
        name, provides = f"t{index}", f"w{index}"
        flow.add(lib.task.FunctorTask(step, name=name, provides=provides, rebind={"value": "v0"}))
    return flow


def parents(width: int, layer: int, column: int) -> list[str]:
    """Whom a task of a layered graph takes from: three neighbours of the layer above.

    Args:
        width: tasks in a layer.
        layer: the task's layer, from 1.
        column: the task's place in it.

    Returns:
        The names of three values.
    """
    return [f"v{layer - 1}_{(column + near) % width}" for near in (0, 1, 2)]


def layers(lib: Library, width: int, depth: int) -> Any:
    """A graph flow of layers, each task of which takes three values of the layer above.

    Args:
        lib: the library to build it with.
        width: tasks in a layer, at least 3.
        depth: how many layers.

    Returns:
        The flow; it needs ``v0_0`` to ``v0_<width - 1>``.
    """
    flow = lib.graph.Flow("layers")
    for layer in range(1, depth + 1):
        for column in range(width):
            takes = dict(zip("abc", parents(width, layer, column), strict=True))
            name, provides = f"t{layer}_{column}", f"v{layer}_{column}"
            flow.add(lib.task.FunctorTask(join, name=name, provides=provides, rebind=takes))
    return flow


def layers_graph(width: int, depth: int) -> dict[str, Any]:
    """The same layers as a dask graph.

    Args:
        width: tasks in a layer, at least 3.
        depth: how many layers.

    Returns:
        The graph.
    """
    graph: dict[str, Any] = {f"v0_{column}": 0 for column in range(width)}
    for layer in range(1, depth + 1):
        for column in range(width):
            graph[f"v{layer}_{column}"] = (join, *parents(width, layer, column))
    return graph
