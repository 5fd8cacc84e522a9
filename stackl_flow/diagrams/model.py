"""What a diagram of a flow shows, independent of the output format.

A `Diagram` is a tree of boxes (flows contain atoms and other flows) with edges between boxes of the same
flow. The plan's graph has a start node and an end node for every flow. Here both become one box, and an edge
between distant atoms is lifted to the two sibling boxes that contain them, so each flow can be laid out on
its own.

Colors, captions and durations are here too, because all formats show the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import networkx as nx

Kind = Literal["task", "retry", "flow"]


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """Run-time status of one box: its state, its working time in seconds, and whether it has failed."""

    state: str
    seconds: float | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """One box: an atom, or a flow that contains other boxes."""

    key: str
    label: str
    kind: Kind
    parent: str | None
    status: NodeStatus | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow between two boxes of the same flow; conditional if a decider guards it."""

    source: str
    target: str
    conditional: bool = False


@dataclass(frozen=True, slots=True)
class Diagram:
    """A whole diagram; the first node is the outermost flow."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    @property
    def root(self) -> Node:
        """The outermost flow."""
        return self.nodes[0]

    def by_parent(self) -> dict[str, tuple[list[Node], list[Edge]]]:
        """Return for each flow's key its direct boxes and the edges between those."""
        groups: dict[str, tuple[list[Node], list[Edge]]] = {
            node.key: ([], []) for node in self.nodes if node.kind == "flow"
        }
        parents = {node.key: node.parent for node in self.nodes}
        for node in self.nodes:
            if node.parent is not None:
                groups[node.parent][0].append(node)
        for edge in self.edges:
            parent = parents[edge.source]
            if parent is not None:
                groups[parent][1].append(edge)
        return groups


# ------------------------------------------------------------- from the graph of a plan


def from_graph(
    graph: nx.DiGraph[Any],
    statuses: Mapping[str, NodeStatus] | None = None,
    root_status: NodeStatus | None = None,
) -> Diagram:
    """Build a diagram from the graph that `Plan.graph` exports.

    Args:
        graph: nodes have "kind" ("task", "retry", "flow" or "flow_end"), "label", "parent" (the id of the
            flow that contains them, or None) and, for a "flow_end", "partner" (the id of its "flow"); an
            edge may have a "decider".
        statuses: run-time status by atom name.
        root_status: run-time status of the whole flow.
    """
    keys = {name: f"n{number}" for number, name in enumerate(_box_ids(graph), start=1)}
    statuses = statuses or {}
    # A single task can be run as a flow and has no enclosing flow node.
    nodes = [] if _has_root(graph) else [Node("n0", str(graph.name or "flow"), "flow", None, root_status)]
    outermost = nodes[0].key if nodes else None
    for name, key in keys.items():
        data = graph.nodes[name]
        parent = outermost if data["parent"] is None else keys[data["parent"]]
        label = str(data["label"])
        status = statuses.get(label) if data["kind"] != "flow" else root_status if parent is None else None
        nodes.append(Node(key, label, data["kind"], parent, status))
    return Diagram(tuple(nodes), tuple(_edges(graph, keys)))


def _has_root(graph: nx.DiGraph[Any]) -> bool:
    return any(data["kind"] == "flow" and data["parent"] is None for _, data in graph.nodes(data=True))


def _box_ids(graph: nx.DiGraph[Any]) -> Iterator[str]:
    """Yield the ids of nodes that become boxes: the outermost flow first, the others in stored order."""
    boxes = [name for name, data in graph.nodes(data=True) if data["kind"] != "flow_end"]
    yield from sorted(boxes, key=lambda name: graph.nodes[name]["parent"] is not None)


def _edges(graph: nx.DiGraph[Any], keys: Mapping[str, str]) -> Iterator[Edge]:
    """Yield each edge once, lifted to boxes of the same flow."""
    conditional: dict[tuple[str, str], bool] = {}
    for source, target, data in graph.edges(data=True):
        siblings = _siblings(_ancestry(graph, source), _ancestry(graph, target))
        if siblings is not None:
            pair = (keys[siblings[0]], keys[siblings[1]])
            conditional[pair] = conditional.get(pair, False) or bool(data.get("decider"))
    for (source, target), is_conditional in conditional.items():
        yield Edge(source, target, is_conditional)


def _ancestry(graph: nx.DiGraph[Any], name: str) -> list[str]:
    """List the enclosing flows of a node, outermost first, and then the node (for a flow's end: the flow)."""
    data = graph.nodes[name]
    if data["kind"] == "flow_end":
        name = str(data["partner"])
    path = [name]
    while (outer := graph.nodes[path[-1]]["parent"]) is not None:
        path.append(outer)
    path.reverse()
    return path


def _siblings(one: list[str], other: list[str]) -> tuple[str, str] | None:
    """Find where two paths diverge; None if one box contains the other (edges of a flow's start and end)."""
    for left, right in zip(one, other, strict=False):
        if left != right:
            return left, right
    return None


# ------------------------------------------------------------- what every format shows


class Colors(NamedTuple):
    """Fill and stroke color of a state, as "#rrggbb"."""

    fill: str
    stroke: str


DEFAULT_COLORS = Colors("#f6f8fa", "#57606a")

#: A light fill and a dark stroke of the same hue for each state of a flow or atom, in the order of the
#: legend. The state's name is always written too, so that nothing depends on telling red from green.
STATE_COLORS: dict[str, Colors] = {
    "PENDING": Colors("#f3f4f6", "#6b7280"),
    "RUNNING": Colors("#dbeafe", "#1d4ed8"),
    "SUCCESS": Colors("#dcfce7", "#15803d"),
    "FAILURE": Colors("#fee2e2", "#b91c1c"),
    "RETRYING": Colors("#e0e7ff", "#4338ca"),
    "REVERTING": Colors("#ffedd5", "#c2410c"),
    "REVERTED": Colors("#fef3c7", "#a16207"),
    "REVERT_FAILURE": Colors("#fbcfe8", "#9d174d"),
    "IGNORE": Colors("#ffffff", "#9ca3af"),
    "SUSPENDING": Colors("#ede9fe", "#6d28d9"),
    "SUSPENDED": Colors("#ede9fe", "#6d28d9"),
    "RESUMING": Colors("#cffafe", "#0e7490"),
}


def colors_of(state: str | None) -> Colors:
    """Return the colors of a state; gray for None and for unknown states."""
    return DEFAULT_COLORS if state is None else STATE_COLORS.get(state, DEFAULT_COLORS)


def caption(node: Node) -> str:
    """Write the line below a box's name, such as "retry · SUCCESS · 1.24 s"; empty without a status."""
    parts = ["retry"] if node.kind == "retry" else []
    if node.status is not None:
        if node.status.failed and "FAILURE" not in node.status.state:
            parts.append("failed")
        parts.append(node.status.state)
        if node.status.seconds is not None:
            parts.append(format_duration(node.status.seconds))
    return " · ".join(parts)


#: Limit, scale and format; the limits are where rounding would reach the next unit.
_SHORT = ((0.9995, 1000.0, "{:.0f} ms"), (9.995, 1.0, "{:.2f} s"), (59.95, 1.0, "{:.1f} s"))
_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


def format_duration(seconds: float) -> str:
    """Write a duration for people, such as "3 ms", "1.24 s", "2 min 5 s" or "3 h 10 min"."""
    for limit, scale, template in _SHORT:
        if seconds < limit:
            return template.format(max(seconds, 0.0) * scale)
    size, name, small, small_name = next(unit for unit in _UNITS if max(round(seconds), 60) >= unit[0])
    whole, rest = divmod(round(seconds / small), size // small)
    return f"{whole} {name} {rest} {small_name}" if rest else f"{whole} {name}"


def printable(text: str) -> str:
    """Replace characters that no output format can carry: control codes, line breaks, lone surrogates."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )
