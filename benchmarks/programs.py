"""The flows that are measured, written once for both libraries, which share TaskFlow's API.

A library is imported by name: a process that measures memory or imports of one must not load the other.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Library:
    """The modules of a library."""

    name: str
    engines: Any
    task: Any
    linear: Any
    unordered: Any
    graph: Any


def library(name: str) -> Library:
    """Import a library's modules.

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
    """Add one: a no-op whose final value can be checked."""
    return value + 1


def join(a: int, b: int, c: int) -> int:
    """Add one to the maximum: a no-op with three inputs."""
    return max(a, b, c) + 1


def chain(lib: Library, size: int) -> Any:
    """Build a linear flow in which each task takes the value of the previous one.

    Returns:
        The flow; it requires ``v0`` and provides ``v1`` to ``v<size>``.
    """
    flow = lib.linear.Flow("chain")
    for index in range(size):
        name, provides, takes = f"t{index}", f"v{index + 1}", {"value": f"v{index}"}
        flow.add(lib.task.FunctorTask(step, name=name, provides=provides, rebind=takes))
    return flow


def chain_graph(size: int) -> dict[str, Any]:
    """Build the same chain as a dask graph.

    Returns:
        The graph; the last key is ``v<size>``.
    """
    graph: dict[str, Any] = {"v0": 0}
    for index in range(size):
        graph[f"v{index + 1}"] = (step, f"v{index}")
    return graph


def fan(lib: Library, size: int) -> Any:
    """Build an unordered flow of independent tasks.

    Returns:
        The flow; it requires ``v0`` and provides ``w0`` to ``w<size - 1>``.
    """
    flow = lib.unordered.Flow("fan")
    for index in range(size):
        name, provides = f"t{index}", f"w{index}"
        flow.add(lib.task.FunctorTask(step, name=name, provides=provides, rebind={"value": "v0"}))
    return flow


def parents(width: int, layer: int, column: int) -> list[str]:
    """Return the inputs of a task in a layered graph: three neighbours of the layer above.

    Returns:
        The names of three values.
    """
    return [f"v{layer - 1}_{(column + near) % width}" for near in (0, 1, 2)]


def layers(lib: Library, width: int, depth: int) -> Any:
    """Build a graph flow of layers, in which each task takes three values of the layer above.

    Returns:
        The flow; it requires ``v0_0`` to ``v0_<width - 1>``.
    """
    flow = lib.graph.Flow("layers")
    for layer in range(1, depth + 1):
        for column in range(width):
            takes = dict(zip("abc", parents(width, layer, column), strict=True))
            name, provides = f"t{layer}_{column}", f"v{layer}_{column}"
            flow.add(lib.task.FunctorTask(join, name=name, provides=provides, rebind=takes))
    return flow


def layers_graph(width: int, depth: int) -> dict[str, Any]:
    """Build the same layers as a dask graph.

    Returns:
        The graph.
    """
    graph: dict[str, Any] = {f"v0_{column}": 0 for column in range(width)}
    for layer in range(1, depth + 1):
        for column in range(width):
            graph[f"v{layer}_{column}"] = (join, *parents(width, layer, column))
    return graph
