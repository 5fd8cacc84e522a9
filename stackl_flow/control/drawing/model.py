"""What a picture of a flow shows, free of any format.

Every format (svg, mermaid, dot) starts from a `Drawing`: a tree of boxes (flows hold atoms and other flows)
and links between boxes that stand in the same flow. The plan's graph has a start node and an end node for
every flow; here both are one box, and a link between two far atoms is lifted to the two boxes that stand
side by side. So each flow can be laid out on its own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import networkx as nx

Kind = Literal["task", "retry", "flow"]


@dataclass(frozen=True, slots=True)
class Mark:
    """What is known of one box at run time: its state, seconds worked, and whether it failed."""

    state: str
    seconds: float | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """One box: an atom, or a flow that holds other boxes."""

    key: str
    label: str
    kind: Kind
    parent: str | None
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """An arrow between two boxes of the same flow; guarded when a decider stands on it."""

    source: str
    target: str
    guarded: bool = False


@dataclass(frozen=True, slots=True)
class Drawing:
    """A whole picture; the first node is the outermost flow."""

    nodes: tuple[Node, ...]
    links: tuple[Link, ...]

    @property
    def root(self) -> Node:
        """The outermost flow."""
        return self.nodes[0]

    def by_parent(self) -> dict[str, tuple[list[Node], list[Link]]]:
        """Group boxes and links by the flow that holds them.

        Returns:
            For the key of each flow, its direct boxes and the links between those.
        """
        groups: dict[str, tuple[list[Node], list[Link]]] = {
            n.key: ([], []) for n in self.nodes if n.kind == "flow"
        }
        parents = {node.key: node.parent for node in self.nodes}
        for node in self.nodes:
            if node.parent is not None:
                groups[node.parent][0].append(node)
        for link in self.links:
            parent = parents[link.source]
            if parent is not None:
                groups[parent][1].append(link)
        return groups


def from_graph(
    graph: "nx.DiGraph[Any]", marks: Mapping[str, Mark] | None = None, root: Mark | None = None
) -> Drawing:
    """Make a drawing from a plan's exported graph.

    Args:
        graph: what `Plan.graph` gives: nodes with kind ("task", "retry", "flow" or "flow_end"),
            label, parent (the id of the flow they lie in, or None) and, for a "flow_end", partner (the id of
            its "flow"); an edge may have a "decider".
        marks: run-time marks of atoms, by the atom's name.
        root: run-time mark of the whole flow.

    Returns:
        The drawing, ready for any of the formats.
    """
    keys = {name: f"n{number}" for number, name in enumerate(_boxes(graph), start=1)}
    marks = marks or {}
    # A lone task is a flow too, but has none around it.
    nodes = [Node("n0", str(graph.name or "flow"), "flow", None, root)] if not _has_root(graph) else []
    outermost = nodes[0].key if nodes else None
    for name, key in keys.items():
        data = graph.nodes[name]
        parent = outermost if data["parent"] is None else keys[data["parent"]]
        label = str(data["label"])
        mark = marks.get(label) if data["kind"] != "flow" else (root if parent is None else None)
        nodes.append(Node(key, label, data["kind"], parent, mark))
    return Drawing(tuple(nodes), tuple(_links(graph, keys)))


def _has_root(graph: "nx.DiGraph[Any]") -> bool:
    return any(data["kind"] == "flow" and data["parent"] is None for _, data in graph.nodes(data=True))


def _boxes(graph: "nx.DiGraph[Any]") -> Iterator[str]:
    """Yield the ids that become boxes: the outermost flow first, the others in their stored order."""
    boxes = [name for name, data in graph.nodes(data=True) if data["kind"] != "flow_end"]
    yield from sorted(boxes, key=lambda name: graph.nodes[name]["parent"] is not None)


def _links(graph: "nx.DiGraph[Any]", keys: Mapping[str, str]) -> Iterator[Link]:
    """Yield each arrow once, lifted to boxes that lie in the same flow."""
    seen: dict[tuple[str, str], bool] = {}
    for source, target, data in graph.edges(data=True):
        pair = _siblings(_chain(graph, source), _chain(graph, target))
        if pair is not None:
            both = (keys[pair[0]], keys[pair[1]])
            seen[both] = seen.get(both, False) or bool(data.get("decider"))
    for (one, other), guarded in seen.items():
        yield Link(one, other, guarded)


def _chain(graph: "nx.DiGraph[Any]", name: str) -> list[str]:
    """List the flows around a node, outermost first, and the node itself (for an end: its flow) last."""
    data = graph.nodes[name]
    if data["kind"] == "flow_end":
        name = str(data["partner"])
    chain = [name]
    while (outer := graph.nodes[chain[-1]]["parent"]) is not None:
        chain.append(outer)
    chain.reverse()
    return chain


def _siblings(one: list[str], other: list[str]) -> tuple[str, str] | None:
    """Find where two chains part; None when one box holds the other (a flow's own start and end edges)."""
    for left, right in zip(one, other, strict=False):
        if left != right:
            return left, right
    return None
