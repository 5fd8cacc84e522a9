"""The SVG form: one self-standing file with no script, no outside font and no outside style.

Sizes and places of everything in a picture: boxes in boxes, worked out from the inmost flow outwards.

Colours of the states, the same in every picture.

Each state has a light paper and a dark ink of the same hue; the state's name is always written too, so that
nobody has to tell red from green.

The legend under a picture: the states that occur in it, in the order of the palette.
"""

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from stackl_flow.diagrams.layout import Arrangement, Item, Point, Route, arrange
from stackl_flow.diagrams.model import LETTER, Drawing, Link, Node, cells, printable, span, wrap

#: Font sizes of names and of the line under them, and the height of a line of each.
NAME_SIZE, NOTE_SIZE, NAME_LINE, NOTE_LINE = 13.0, 11.0, 17.0, 16.0
#: Room around the text of an atom, around what a flow holds, and the height of a flow's title.
PAD_X, PAD_Y, FRAME, TITLE = 16.0, 9.0, 24.0, 34.0

_ATOM_CELLS, _ATOM_LINES, _TITLE_CELLS = 30, 3, 48
_LEAST_WIDTH = 104.0


@dataclass(frozen=True, slots=True)
class Box:
    """One box on the page: its place and its words."""

    node: Node
    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything on the page; outer boxes come before those they hold."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    routes: tuple[Route, ...]


def note(node: Node) -> str:
    """Write the line under a box's name: its state and how long it has worked.

    Args:
        node: the box.

    Returns:
        The line; empty when nothing is known.
    """
    if node.mark is None:
        return "retry" if node.kind == "retry" else ""
    words = [] if node.kind != "retry" else ["retry"]
    if node.mark.failed and "FAILURE" not in node.mark.state:
        words.append("failed")
    words.append(node.mark.state)
    if node.mark.seconds is not None:
        words.append(span(node.mark.seconds))
    return " · ".join(words)


def build(drawing: Drawing) -> Scene:
    """Lay out a whole drawing.

    Args:
        drawing: what to show.

    Returns:
        The scene, with its upper left corner at (0, 0).
    """
    builder = _Builder(drawing.by_parent())
    size = builder.measure(drawing.root)
    builder.place(drawing.root, 0.0, 0.0)
    return Scene(size.width, size.height, tuple(builder.boxes), tuple(builder.routes))


class _Builder:
    """One pass of laying out: `measure` goes inwards and remembers, `place` hands out the final places."""

    def __init__(self, groups: dict[str, tuple[list[Node], list[Link]]]) -> None:
        self._groups = groups
        self._sizes: dict[str, Item] = {}
        self._inner: dict[str, Arrangement] = {}
        self.boxes: list[Box] = []
        self.routes: list[Route] = []

    def measure(self, node: Node) -> Item:
        """Work out a box's size, and for a flow also how its inner boxes stand."""
        words = _words_width(node)
        if node.kind == "flow":
            children, links = self._groups[node.key]
            inner = arrange([self.measure(child) for child in children], links)
            self._inner[node.key] = inner
            size = Item(node.key, max(inner.width + 2 * FRAME, words), TITLE + inner.height + FRAME)
        else:
            lines = len(_lines(node)) * NAME_LINE + (NOTE_LINE if note(node) else 0.0)
            size = Item(node.key, max(words, _LEAST_WIDTH), lines + 2 * PAD_Y)
        self._sizes[node.key] = size
        return size

    def place(self, node: Node, x: float, y: float) -> None:
        """Put a box at its final place, and what it holds inside it."""
        size = self._sizes[node.key]
        self.boxes.append(Box(node, x, y, size.width, size.height, _lines(node), note(node)))
        if node.kind != "flow":
            return
        inner = self._inner[node.key]
        left, top = x + (size.width - inner.width) / 2, y + TITLE
        for child in self._groups[node.key][0]:
            dx, dy = inner.spots[child.key]
            self.place(child, left + dx, top + dy)
        self.routes += [route.moved(left, top) for route in inner.routes]


def _lines(node: Node) -> tuple[str, ...]:
    return (
        wrap(node.label, _TITLE_CELLS, 1)
        if node.kind == "flow"
        else wrap(node.label, _ATOM_CELLS, _ATOM_LINES)
    )


def _words_width(node: Node) -> float:
    name = max(cells(line) for line in _lines(node)) * LETTER * NAME_SIZE
    under = cells(note(node)) * LETTER * NOTE_SIZE
    # A flow's title has name and note in one line, an atom has them under each other.
    return (name + under + 3 * PAD_X) if node.kind == "flow" else max(name, under) + 2 * PAD_X


class Tint(NamedTuple):
    """The colours of one state, as "#rrggbb"."""

    paper: str
    ink: str


PLAIN = Tint("#f6f8fa", "#57606a")

#: Every state of a flow or an atom; the order is that of the legend.
TINTS: dict[str, Tint] = {
    "PENDING": Tint("#f3f4f6", "#6b7280"),
    "RUNNING": Tint("#dbeafe", "#1d4ed8"),
    "SUCCESS": Tint("#dcfce7", "#15803d"),
    "FAILURE": Tint("#fee2e2", "#b91c1c"),
    "RETRYING": Tint("#e0e7ff", "#4338ca"),
    "REVERTING": Tint("#ffedd5", "#c2410c"),
    "REVERTED": Tint("#fef3c7", "#a16207"),
    "REVERT_FAILURE": Tint("#fbcfe8", "#9d174d"),
    "IGNORE": Tint("#ffffff", "#9ca3af"),
    "SUSPENDING": Tint("#ede9fe", "#6d28d9"),
    "SUSPENDED": Tint("#ede9fe", "#6d28d9"),
    "RESUMING": Tint("#cffafe", "#0e7490"),
}


def tint(state: str | None) -> Tint:
    """Give the colours of a state.

    Args:
        state: a state's name, or None when there is none.

    Returns:
        Its colours; grey ones for a state nobody knows.
    """
    return PLAIN if state is None else TINTS.get(state, PLAIN)


@dataclass(frozen=True, slots=True)
class Legend:
    """Where each state's entry starts, and the width of all."""

    width: float
    items: tuple[tuple[float, str], ...]


def legend(drawing: Drawing) -> Legend:
    """List the states of a drawing.

    Args:
        drawing: what is shown.

    Returns:
        The entries; none when the drawing has no states.
    """
    states = {node.mark.state for node in drawing.nodes if node.mark is not None}
    x = 0.0
    items = []
    for state in [*(name for name in TINTS if name in states), *sorted(states - TINTS.keys())]:
        items.append((x, state))
        x += 20 + cells(state) * LETTER * NOTE_SIZE + 22
    return Legend(x, tuple(items))


_MONO = "'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"
_LINE = "#8b949e"
_MARGIN = 16.0
_LEGEND = 40.0
_CORNER = 8.0
#: Two points this near in x are upright over each other.
_UPRIGHT = 0.05


def to_svg(drawing: Drawing) -> str:
    """Write a drawing as SVG.

    Args:
        drawing: what to show.

    Returns:
        The text of the file.
    """
    page = build(drawing)
    entries = legend(drawing)
    width = max(page.width, entries.width) + 2 * _MARGIN
    height = page.height + 2 * _MARGIN + (_LEGEND if entries.items else 0.0)
    root = ET.Element("svg", _page(width, height))
    ET.SubElement(root, "title").text = printable(drawing.root.label)
    _arrowheads(root)
    ET.SubElement(root, "rect", {"width": "100%", "height": "100%", "fill": "#ffffff"})
    body = ET.SubElement(root, "g", {"transform": f"translate({(width - page.width) / 2:.1f} {_MARGIN})"})
    for box in page.boxes:
        if box.node.kind == "flow":
            _frame(body, box)
    for route in page.routes:
        _wire(body, route)
    for box in page.boxes:
        if box.node.kind != "flow":
            _atom(body, box)
    _legend(root, entries.items, height - _LEGEND)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _page(width: float, height: float) -> dict[str, str]:
    return {
        "xmlns": "http://www.w3.org/2000/svg",
        "width": f"{width:.0f}",
        "height": f"{height:.0f}",
        "viewBox": f"0 0 {width:.1f} {height:.1f}",
        "font-family": _MONO,
        "role": "img",
    }


def _arrowheads(root: ET.Element) -> None:
    marker = ET.SubElement(
        ET.SubElement(root, "defs"),
        "marker",
        {"id": "tip", "viewBox": "0 0 8 8", "refX": "7", "refY": "4", "orient": "auto"}
        | {"markerWidth": "8", "markerHeight": "8", "markerUnits": "userSpaceOnUse"},
    )
    ET.SubElement(marker, "path", {"d": "M0 0.5 L8 4 L0 7.5 Z", "fill": _LINE})


def _frame(body: ET.Element, box: Box) -> None:
    """Draw a flow: a frame with the name at the top left and its state at the top right."""
    outer = box.node.parent is None
    ink = tint(box.node.mark.state).ink if box.node.mark else _LINE
    look = {"fill": "#ffffff" if outer else "#1f6feb", "fill-opacity": "1" if outer else "0.035", "rx": "10"}
    dash = {} if outer else {"stroke-dasharray": "5 4"}
    group = _group(body, box)
    ET.SubElement(
        group, "rect", _place(box) | look | dash | {"stroke": ink, "stroke-width": "1.5" if outer else "1"}
    )
    _text(group, box.x + PAD_X, box.y + 22, box.lines[0], NAME_SIZE, "#24292f", weight="bold")
    if box.note:
        _text(group, box.x + box.width - PAD_X, box.y + 22, box.note, NOTE_SIZE, ink, anchor="end")


def _atom(body: ET.Element, box: Box) -> None:
    """Draw an atom in the colours of its state; a retry has round ends."""
    colours = tint(box.node.mark.state) if box.node.mark else PLAIN
    group = _group(body, box)
    look = {"fill": colours.paper, "stroke": colours.ink, "stroke-width": "1.2"}
    if box.node.mark is not None and box.node.mark.failed:
        # What brought the flow down stays in sight when it has been undone.
        look |= {"stroke": tint("FAILURE").ink, "stroke-width": "2.2"}
    if box.node.mark is not None and box.node.mark.state == "IGNORE":
        look["stroke-dasharray"] = "3 3"
    ET.SubElement(
        group,
        "rect",
        _place(box) | look | {"rx": f"{box.height / 2:.1f}" if box.node.kind == "retry" else "6"},
    )
    lines = len(box.lines) * NAME_LINE + (NOTE_LINE if box.note else 0.0)
    base = box.y + (box.height - lines) / 2 + NAME_SIZE
    for number, line in enumerate(box.lines):
        _text(
            group,
            box.x + box.width / 2,
            base + number * NAME_LINE,
            line,
            NAME_SIZE,
            "#24292f",
            anchor="middle",
        )
    if box.note:
        under = base + len(box.lines) * NAME_LINE - 1.0
        _text(group, box.x + box.width / 2, under, box.note, NOTE_SIZE, colours.ink, anchor="middle")


def _wire(body: ET.Element, route: Route) -> None:
    look = {"d": _curve(route.points) if route.shape == "curve" else _elbow(route.points), "fill": "none"}
    dash = {"stroke-dasharray": "6 4"} if route.guarded else {}
    ET.SubElement(
        body, "path", look | dash | {"stroke": _LINE, "stroke-width": "1.3", "marker-end": "url(#tip)"}
    )


def _curve(points: tuple[Point, ...]) -> str:
    """Write a way whose slanted pieces leave and arrive upright."""
    parts = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x, y), (to_x, to_y) in pairwise(points):
        if abs(x - to_x) < _UPRIGHT:
            parts.append(f"V{to_y:.1f}")
        else:
            half = (y + to_y) / 2
            parts.append(f"C{x:.1f} {half:.1f} {to_x:.1f} {half:.1f} {to_x:.1f} {to_y:.1f}")
    return " ".join(parts)


def _elbow(points: tuple[Point, ...]) -> str:
    """Write a way of straight pieces with rounded corners."""
    parts = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        enter, leave = _towards(corner, before), _towards(corner, after)
        parts.append(
            f"L{enter[0]:.1f} {enter[1]:.1f} Q{corner[0]:.1f} {corner[1]:.1f} {leave[0]:.1f} {leave[1]:.1f}"
        )
    parts.append(f"L{points[-1][0]:.1f} {points[-1][1]:.1f}")
    return " ".join(parts)


def _towards(corner: Point, other: Point) -> Point:
    """Give the point a little way from a corner towards another point."""
    dx, dy = other[0] - corner[0], other[1] - corner[1]
    length = max((dx * dx + dy * dy) ** 0.5, 0.001)
    share = min(_CORNER, length / 2) / length
    return corner[0] + dx * share, corner[1] + dy * share


def _legend(root: ET.Element, items: tuple[tuple[float, str], ...], top: float) -> None:
    for x, state in items:
        colours = tint(state)
        swatch = {"x": f"{_MARGIN + x:.1f}", "y": f"{top + 10:.1f}", "width": "14", "height": "14", "rx": "3"}
        ET.SubElement(root, "rect", swatch | {"fill": colours.paper, "stroke": colours.ink})
        _text(root, _MARGIN + x + 20, top + 21, state, NOTE_SIZE, "#57606a")


def _group(body: ET.Element, box: Box) -> ET.Element:
    group = ET.SubElement(body, "g", {"class": f"box {box.node.kind}"})
    # Shown by a browser under the mouse: the whole name, even where the box had to shorten it.
    ET.SubElement(group, "title").text = printable(" · ".join(filter(None, (box.node.label, box.note))))
    return group


def _place(box: Box) -> dict[str, str]:
    return {
        "x": f"{box.x:.1f}",
        "y": f"{box.y:.1f}",
        "width": f"{box.width:.1f}",
        "height": f"{box.height:.1f}",
    }


def _text(
    parent: ET.Element,
    x: float,
    y: float,
    words: str,
    size: float,
    ink: str,
    anchor: str = "start",
    weight: str = "",
) -> None:
    look = {"x": f"{x:.1f}", "y": f"{y:.1f}", "font-size": f"{size:g}", "fill": ink, "text-anchor": anchor}
    ET.SubElement(parent, "text", look | ({"font-weight": weight} if weight else {})).text = printable(words)
