"""TaskFlow's `taskflow.types.graph`: networkx graphs with the methods that TaskFlow gave them."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, Self

import networkx as nx
from networkx.drawing import nx_pydot

Attributes = Mapping[str, Any] | None
Detector = Callable[[Any, Any], int]


def _described(name: object, data: Mapping[str, Any]) -> str:
    return f"{name} ({dict(data)})" if data else str(name)


class _Common:
    """What both kinds of graph can do besides networkx; comes before networkx's class among the bases."""

    _arrow = "<->"
    frozen: bool
    name: str
    nodes: Any
    edges: Any

    def __init__(self, incoming_graph_data: Any = None, name: str = "") -> None:
        super().__init__(incoming_graph_data, name=name)  # type: ignore[call-arg]  # networkx's class follows
        self.frozen = False

    def freeze(self) -> Self:
        """Refuse all changes from now on.

        Returns:
            This graph.
        """
        if not self.frozen:
            nx.freeze(self)
        return self

    def export_to_dot(self) -> str:
        """Write the graph in Graphviz's language; needs the pydot package.

        Returns:
            The text.
        """
        return str(nx_pydot.to_pydot(self).to_string())

    def pformat(self) -> str:
        """Write out what is in the graph.

        Returns:
            The text, of several lines.
        """
        lines = [
            f"Name: {self.name}",
            f"Type: {type(self).__name__}",
            f"Frozen: {self.frozen}",
            f"Density: {nx.density(self):0.3f}",
            f"Nodes: {len(self.nodes)}",
            *(f"  - {_described(node, data)}" for node, data in self.nodes(data=True)),
            f"Edges: {len(self.edges)}",
            *(f"  {_described(f'{u} {self._arrow} {v}', data)}" for u, v, data in self.edges(data=True)),
            *self._more_lines(),
        ]
        return os.linesep.join(lines)

    def _more_lines(self) -> Iterator[str]:
        return iter(())

    def add_edge(self, u: Hashable, v: Hashable, attr_dict: Attributes = None, **attr: Any) -> None:
        """Add an edge.

        Args:
            u: from this node.
            v: to this node.
            attr_dict: what is known of it; takes the place of all ``attr``.
            attr: what is known of it.
        """
        super().add_edge(u, v, **(attr if attr_dict is None else attr_dict))  # type: ignore[misc]  # networkx's

    def add_node(self, n: Hashable, attr_dict: Attributes = None, **attr: Any) -> None:
        """Add a node.

        Args:
            n: the node.
            attr_dict: what is known of it; takes the place of all ``attr``.
            attr: what is known of it.
        """
        super().add_node(n, **(attr if attr_dict is None else attr_dict))  # type: ignore[misc]  # networkx's

    def fresh_copy(self) -> Self:
        """Return an empty graph of this kind."""
        return type(self)()


class Graph(_Common, nx.Graph):  # type: ignore[misc]  # networkx has no types
    """A graph without directions.

    Args:
        incoming_graph_data: what networkx can make a graph of.
        name: what it is called.
    """


class DiGraph(_Common, nx.DiGraph):  # type: ignore[misc]  # networkx has no types
    """A directed graph.

    Args:
        incoming_graph_data: what networkx can make a graph of.
        name: what it is called.
    """

    _arrow = "->"

    def get_edge_data(self, u: Hashable, v: Hashable, default: Any = None) -> Any:
        """Return a copy of what is known of an edge.

        Args:
            u: from this node.
            v: to this node.
            default: what to return where there is no such edge.

        Returns:
            The data by name.
        """
        return dict(self.adj[u][v]) if self.has_edge(u, v) else default

    def topological_sort(self) -> Iterator[Any]:
        """Go over the nodes so that each comes after those that lead to it."""
        return iter(nx.topological_sort(self))

    def _more_lines(self) -> Iterator[str]:
        cycles = list(nx.simple_cycles(self))
        yield f"Cycles: {len(cycles)}"
        for cycle in cycles:
            yield "  " + " --> ".join(map(str, [*cycle, cycle[0]]))

    def is_directed_acyclic(self) -> bool:
        """Say whether no way leads back to where it began."""
        return bool(nx.is_directed_acyclic_graph(self))

    def no_successors_iter(self) -> Iterator[Any]:
        """Go over the nodes from which no edge leads on."""
        return (node for node in self.nodes if not self.out_degree(node))

    def no_predecessors_iter(self) -> Iterator[Any]:
        """Go over the nodes to which no edge leads."""
        return (node for node in self.nodes if not self.in_degree(node))

    def bfs_predecessors_iter(self, n: Hashable) -> Iterator[Any]:
        """Go over all nodes before one, nearest first.

        Args:
            n: the node.

        Yields:
            Each node before it, once.
        """
        seen = {n}
        waiting = deque(self.predecessors(n))
        while waiting:
            node = waiting.popleft()
            if node not in seen:
                seen.add(node)
                yield node
                waiting.extend(self.predecessors(node))


class OrderedDiGraph(DiGraph):
    """A directed graph that keeps the order in which nodes and edges came, as all graphs do by now."""


class OrderedGraph(Graph):
    """A graph that keeps the order in which nodes and edges came, as all graphs do by now."""


def _common_nodes(to_graph: Any, from_graph: Any) -> int:
    return len(to_graph.subgraph(from_graph.nodes))


def merge_graphs(
    graph: Any, *graphs: Any, allow_overlaps: bool = False, overlap_detector: Detector | None = None
) -> Any:
    """Put several graphs together.

    Args:
        graph: the first; its name is kept.
        graphs: the others.
        allow_overlaps: whether a node may be in more than one of them.
        overlap_detector: counts what two graphs have in common; nodes if left out.

    Returns:
        A new graph, or the first where there are no others.

    Raises:
        ValueError: two of them have nodes in common, or the detector cannot be called.
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
                f"Can not merge graph {other} into {merged}: {overlaps} nodes are in both; rename them, or"
                f" give allow_overlaps=True"
            )
        merged = nx.compose(merged, other)
    if graphs:
        merged.name = graph.name
    return merged
