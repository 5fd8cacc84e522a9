"""Draws a Mermaid state diagram as SVG.

Material loads Mermaid's own renderer from another host, and the site fetches nothing from elsewhere. The
pages keep Mermaid source, which other viewers render; the site shows these pictures instead.
"""

import re
from collections.abc import Iterable
from html import escape
from typing import NamedTuple

_EDGE = re.compile(r"^\s*(\S+) --> (\S+?)(?:: (.+))?$")
_END = "[*]"
_WIDTH, _HEIGHT, _COLUMN, _ROW, _MARGIN = 136, 32, 200, 62, 24
_COLOURS = {
    "SUCCESS": ("#dcfce7", "#15803d"),
    "COMPLETE": ("#dcfce7", "#15803d"),
    "FAILURE": ("#fee2e2", "#b91c1c"),
    "REVERT_FAILURE": ("#fbcfe8", "#9d174d"),
    "REVERTED": ("#fef3c7", "#a16207"),
    "REVERTING": ("#ffedd5", "#c2410c"),
    "RUNNING": ("#dbeafe", "#1d4ed8"),
}
_DEFAULT = ("#f3f4f6", "#4b5563")


class Edge(NamedTuple):
    """A transition; `label` is empty where the event is named after the new state."""

    source: str
    target: str
    label: str


class Position(NamedTuple):
    """The column and the upper left corner of a state's box."""

    rank: int
    x: float
    y: float


def parse(source: str) -> list[Edge]:
    """Read the transitions of a Mermaid state diagram, without those from and to `[*]`."""
    found = [_EDGE.match(line) for line in source.splitlines()]
    edges = [Edge(one[1], one[2], one[3] or "") for one in found if one]
    return [edge for edge in edges if _END not in edge[:2]]


def to_svg(source: str, title: str) -> str:
    """Draw a Mermaid state diagram, ranks from left to right; transitions to an earlier rank are dashed."""
    edges = parse(source)
    positions = _layout(edges)
    lines = [_edge(edge, positions, edges) for edge in edges]
    boxes = [_box(state, position) for state, position in positions.items()]
    width = max(position.x for position in positions.values()) + _WIDTH + 3 * _MARGIN
    height = max(position.y for position in positions.values()) + _HEIGHT + _MARGIN
    if any(positions[edge.source].rank - positions[edge.target].rank > 1 for edge in edges):
        height += 1.4 * _ROW
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}"'
        f' role="img" font-family="system-ui, sans-serif" font-size="13"><title>{escape(title)}</title>'
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
        ' orient="auto"><path d="M0 0 8 4 0 8z" fill="#57606a"/></marker></defs>'
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#fff" rx="6"/>'
    )
    return "\n".join([head, *lines, *boxes, "</svg>\n"])


def _layout(edges: Iterable[Edge]) -> dict[str, Position]:
    edges = list(edges)
    ranks = {edges[0].source: 0}
    waiting = [edges[0].source]
    while waiting:
        state = waiting.pop(0)
        for edge in edges:
            if edge.source == state and edge.target not in ranks:
                ranks[edge.target] = ranks[state] + 1
                waiting.append(edge.target)
    columns: dict[int, list[str]] = {}
    for state, rank in ranks.items():
        columns.setdefault(rank, []).append(state)
    rows = max(len(column) for column in columns.values())
    return {
        state: Position(rank, _MARGIN + rank * _COLUMN, _MARGIN + ((rows - len(column)) / 2 + row) * _ROW)
        for rank, column in columns.items()
        for row, state in enumerate(column)
    }


def _box(state: str, position: Position) -> str:
    paper, ink = _COLOURS.get(state, _DEFAULT)
    return (
        f'<rect x="{position.x:.0f}" y="{position.y:.0f}" width="{_WIDTH}" height="{_HEIGHT}" rx="8"'
        f' fill="{paper}" stroke="{ink}"/><text x="{position.x + _WIDTH / 2:.0f}" y="{position.y + 21:.0f}"'
        f' text-anchor="middle" fill="#1f2328">{escape(state)}</text>'
    )


def _edge(edge: Edge, positions: dict[str, Position], edges: list[Edge]) -> str:
    start, end = positions[edge.source], positions[edge.target]
    right, middle = start.x + _WIDTH, _HEIGHT / 2
    # The two directions between the same two states run side by side.
    both = any((other.source, other.target) == (edge.target, edge.source) for other in edges)
    shift = 6 if both else 0
    if start.rank < end.rank:
        y0, y1 = start.y + middle - shift, end.y + middle - shift
        bend = (end.x - right) / 2
        points = (right, y0, right + bend, y0, end.x - bend, y1, end.x - 2, y1)
    elif start.rank == end.rank:
        y0, y1 = start.y + middle + 4, end.y + middle + (4 if start.y > end.y else -4)
        bend = right + 28 + 0.18 * abs(y1 - y0)
        points = (right, y0, bend, y0, bend, y1, end.x + _WIDTH + 2, y1)
    elif start.rank - end.rank == 1:
        y0, y1 = start.y + middle + shift, end.y + middle + shift
        bend = (start.x - end.x - _WIDTH) / 2
        points = (start.x, y0, start.x - bend, y0, end.x + _WIDTH + bend, y1, end.x + _WIDTH + 2, y1)
    else:
        x0, x1 = start.x + 20, end.x + _WIDTH / 2
        low = max(position.y for position in positions.values()) + _HEIGHT + 1.3 * _ROW
        points = (x0, start.y + _HEIGHT, x0 - 60, low, x1 + 20, low, x1, end.y + _HEIGHT + 2)
    x0, y0, x1, y1, x2, y2, x3, y3 = (round(point) for point in points)
    dashes = ' stroke-dasharray="4 3"' if start.rank > end.rank else ""
    path = (
        f'<path d="M{x0} {y0} C{x1} {y1} {x2} {y2} {x3} {y3}" fill="none" stroke="#57606a"'
        f' marker-end="url(#arrow)"{dashes}/>'
    )
    if not edge.label:
        return path
    # The middle of the curve.
    x, y = (x0 + 3 * x1 + 3 * x2 + x3) / 8, (y0 + 3 * y1 + 3 * y2 + y3) / 8 - 4
    return (
        f'{path}<text x="{x:.0f}" y="{y:.0f}" text-anchor="middle" font-size="11" fill="#57606a"'
        f' stroke="#fff" stroke-width="3" paint-order="stroke">{escape(edge.label)}</text>'
    )
