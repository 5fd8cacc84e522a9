"""TaskFlow's `taskflow.types.graph`: networkx graphs with the methods that TaskFlow adds."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, Self

import networkx as nx
from networkx.drawing import nx_pydot

Attributes = Mapping[str, Any] | None
Detector = Callable[[Any, Any], int]


def _format_item(name: object, data: Mapping[str, Any]) -> str:
    return f"{name} ({dict(data)})" if data else str(name)


class _GraphMethods:
    """Methods of both kinds of graphs; precedes the networkx class in the bases."""

    _arrow = "<->"
    frozen: bool
    name: str
    nodes: Any
    edges: Any

    def __init__(self, incoming_graph_data: Any = None, name: str = "") -> None:
        super().__init__(incoming_graph_data, name=name)  # type: ignore[call-arg]  # networkx's class follows
        self.frozen = False

    def freeze(self) -> Self:
        """Disallow changes, and return this graph."""
        if not self.frozen:
            nx.freeze(self)
        return self

    def export_to_dot(self) -> str:
        """Return the graph in the DOT language; needs the pydot package."""
        return str(nx_pydot.to_pydot(self).to_string())

    def pformat(self) -> str:
        """Return a multi-line description of the graph."""
        lines = [
            f"Name: {self.name}",
            f"Type: {type(self).__name__}",
            f"Frozen: {self.frozen}",
            f"Density: {nx.density(self):0.3f}",
            f"Nodes: {len(self.nodes)}",
            *(f"  - {_format_item(node, data)}" for node, data in self.nodes(data=True)),
            f"Edges: {len(self.edges)}",
            *(f"  {_format_item(f'{u} {self._arrow} {v}', data)}" for u, v, data in self.edges(data=True)),
            *self._extra_lines(),
        ]
        return os.linesep.join(lines)

    def _extra_lines(self) -> Iterator[str]:
        return iter(())

    def add_edge(self, u: Hashable, v: Hashable, attr_dict: Attributes = None, **attr: Any) -> None:
        """Add an edge; ``attr_dict`` replaces ``attr``."""
        super().add_edge(u, v, **(attr if attr_dict is None else attr_dict))  # type: ignore[misc]  # networkx's

    def add_node(self, n: Hashable, attr_dict: Attributes = None, **attr: Any) -> None:
        """Add a node; ``attr_dict`` replaces ``attr``."""
        super().add_node(n, **(attr if attr_dict is None else attr_dict))  # type: ignore[misc]  # networkx's

    def fresh_copy(self) -> Self:
        """Return an empty graph of the same class."""
        return type(self)()


class Graph(_GraphMethods, nx.Graph):  # type: ignore[misc]  # networkx has no types
    """An undirected graph.

    Args:
        incoming_graph_data: data to initialize the graph with, as in networkx.
        name: the name.
    """


class DiGraph(_GraphMethods, nx.DiGraph):  # type: ignore[misc]  # networkx has no types
    """A directed graph.

    Args:
        incoming_graph_data: data to initialize the graph with, as in networkx.
        name: the name.
    """

    _arrow = "->"

    def get_edge_data(self, u: Hashable, v: Hashable, default: Any = None) -> Any:
        """Return a copy of the attributes of an edge, or ``default`` if it does not exist."""
        return dict(self.adj[u][v]) if self.has_edge(u, v) else default

    def topological_sort(self) -> Iterator[Any]:
        """Iterate over the nodes in topological order."""
        return iter(nx.topological_sort(self))

    def _extra_lines(self) -> Iterator[str]:
        cycles = list(nx.simple_cycles(self))
        yield f"Cycles: {len(cycles)}"
        for cycle in cycles:
            yield "  " + " --> ".join(map(str, [*cycle, cycle[0]]))

    def is_directed_acyclic(self) -> bool:
        """Return whether the graph has no cycles."""
        return bool(nx.is_directed_acyclic_graph(self))

    def no_successors_iter(self) -> Iterator[Any]:
        """Iterate over the nodes without outgoing edges."""
        return (node for node in self.nodes if not self.out_degree(node))

    def no_predecessors_iter(self) -> Iterator[Any]:
        """Iterate over the nodes without incoming edges."""
        return (node for node in self.nodes if not self.in_degree(node))

    def bfs_predecessors_iter(self, n: Hashable) -> Iterator[Any]:
        """Iterate over all predecessors of a node, direct or not, breadth-first."""
        seen = {n}
        queue = deque(self.predecessors(n))
        while queue:
            node = queue.popleft()
            if node not in seen:
                seen.add(node)
                yield node
                queue.extend(self.predecessors(node))


class OrderedDiGraph(DiGraph):
    """A directed graph in insertion order, as all graphs are today."""


class OrderedGraph(Graph):
    """An undirected graph in insertion order, as all graphs are today."""


def _common_nodes(to_graph: Any, from_graph: Any) -> int:
    return len(to_graph.subgraph(from_graph.nodes))


def merge_graphs(
    graph: Any, *graphs: Any, allow_overlaps: bool = False, overlap_detector: Detector | None = None
) -> Any:
    """Merge graphs into a new one.

    Args:
        graph: the first graph; its name is kept.
        graphs: the others; without any, the first is returned.
        allow_overlaps: allow nodes that are in more than one graph.
        overlap_detector: returns the number of overlaps of two graphs; counts common nodes by default.

    Raises:
        ValueError: two graphs overlap, or the detector is not callable.
    """
    count = _common_nodes if overlap_detector is None else overlap_detector
    if not callable(count):
        raise ValueError(  # noqa: TRY004  TaskFlow raises this
            f"Overlap detection callback expected to be callable, not {count!r}"
        )
    merged = graph
    for other in graphs:
        overlaps = 0 if allow_overlaps else count(merged, other)
        if overlaps:
            raise ValueError(
                f"cannot merge graph {other} into {merged}: {overlaps} nodes are in both; rename them, or"
                f" pass allow_overlaps=True"
            )
        merged = nx.compose(merged, other)
    if graphs:
        merged.name = graph.name
    return merged
