"""What a picture of a flow shows, free of any format.

Every format (svg, mermaid, dot) starts from a `Drawing`: a tree of boxes (flows hold atoms and other flows)
and links between boxes that stand in the same flow. The plan's graph has a start node and an end node for
every flow; here both are one box, and a link between two far atoms is lifted to the two boxes that stand
side by side. So each flow can be laid out on its own.

Text in boxes: how wide it is, where it breaks, how a time span reads.

Names are drawn in a monospaced face, whose letters are all 0.6 em wide in every common font; so a width can
be told without a font at hand, and what is measured here fits on any machine.

A chain of boxes: one column, or several side by side when one would be too tall to look at.
"""

import re
import unicodedata
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


#: Width of one monospaced letter as a share of the font size (0.602 in DejaVu Sans Mono and Menlo, less
#: elsewhere).
LETTER = 0.605

_PIECE = re.compile(r"[^\s._:/\-]*[\s._:/\-]*")
#: Up to which span, times what, written how; the limits are where rounding would reach the next one.
_SHORT = ((0.9995, 1000.0, "{:.0f} ms"), (9.995, 1.0, "{:.2f} s"), (59.95, 1.0, "{:.1f} s"))
_UNITS = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


def cells(text: str) -> int:
    """Count the letter cells a text takes.

    Args:
        text: any text; wide letters (Chinese, Japanese, Korean, most signs) take two cells, combining marks
        none.

    Returns:
        The number of cells.
    """
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    none = sum(unicodedata.combining(letter) > 0 for letter in text)
    return len(text) + wide - none


def printable(text: str) -> str:
    """Replace the letters that a picture cannot hold: control codes, line breaks, lone surrogates.

    Args:
        text: any text.

    Returns:
        Text that every format can carry.
    """
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def shorten(text: str, limit: int) -> str:
    """Cut the middle out of a text that is too long: its start and its end tell more than its middle.

    Args:
        text: the text.
        limit: the most cells it may take, at least 3.

    Returns:
        The text itself when it fits, else its two ends around an ellipsis.
    """
    if cells(text) <= limit:
        return text
    head, tail = text[: limit // 2], text[limit // 2 - limit + 1 :]
    while cells(head + tail) > limit - 1:
        head, tail = (head[:-1], tail) if len(head) > len(tail) else (head, tail[1:])
    return f"{head}…{tail}"


def wrap(text: str, width: int, lines: int) -> tuple[str, ...]:
    """Break a name into lines, after a dot, dash, colon, slash, underscore or blank where there is one.

    Args:
        text: the name.
        width: the most cells in a line.
        lines: the most lines; what is over is cut from the middle of the name.

    Returns:
        At least one line, none wider than `width`.
    """
    text = " ".join(text.split()) or " "
    rows = _rows(text, width)
    limit = width * lines
    while len(rows) > lines:
        rows = _rows(shorten(text, limit), width)
        limit -= 1
    return tuple(rows)


def _rows(text: str, width: int) -> list[str]:
    rows = [""]
    for piece in _PIECE.findall(text):
        rest = piece
        if cells(rows[-1] + rest.rstrip()) <= width:
            rows[-1] += rest
            continue
        if rows[-1]:
            rows.append("")
        while cells(rest.rstrip()) > width:
            cut = _fit(rest, width)
            rows[-1], rest = rest[:cut], rest[cut:]
            rows.append("")
        rows[-1] = rest
    return [row.strip() for row in rows if row.strip()] or [" "]


def _fit(text: str, width: int) -> int:
    cut = min(width, len(text))
    while cut > 1 and cells(text[:cut]) > width:
        cut -= 1
    return cut


def span(seconds: float) -> str:
    """Write a time span for people.

    Args:
        seconds: the span in seconds.

    Returns:
        Such as "3 ms", "1.24 s", "2 min 5 s", "3 h 10 min".
    """
    for below, scale, shape in _SHORT:
        if seconds < below:
            return shape.format(max(seconds, 0.0) * scale)
    size, name, small, small_name = next(unit for unit in _UNITS if max(round(seconds), 60) >= unit[0])
    whole, rest = divmod(round(seconds / small), size // small)
    return f"{whole} {name} {rest} {small_name}" if rest else f"{whole} {name}"
