"""The SVG format: one self-contained file without scripts, external fonts or styles.

`build_scene` measures every box from the innermost flow outwards, has `layout` arrange the boxes of each
flow, and assigns absolute positions; `to_svg` writes the result. Below the diagram stands a legend of the
states that occur in it.

Names are set in a monospaced font. Its characters are about 0.6 em wide in every common font, so text is
measured without a font file, and fits on every machine.
"""

import re
import unicodedata
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from itertools import pairwise

from stackl_flow.diagrams.layout import Box, Layout, Point, Route, layout_flow
from stackl_flow.diagrams.model import (
    DEFAULT_COLORS,
    STATE_COLORS,
    Diagram,
    Edge,
    Node,
    caption,
    colors_of,
    printable,
)

# ------------------------------------------------------------- text measurement

#: Width of a character as a share of the font size (0.602 in DejaVu Sans Mono and Menlo, less elsewhere).
_CHARACTER = 0.605
#: Font sizes of names and captions, and the height of a line of each.
NAME_SIZE, CAPTION_SIZE, _NAME_LINE, _CAPTION_LINE = 13.0, 11.0, 17.0, 16.0

_NAME_PART = re.compile(r"[^\s._:/\-]*[\s._:/\-]*")


def text_cells(text: str) -> int:
    """Count the character cells of a text: East Asian wide characters take two, combining marks none."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    combining = sum(unicodedata.combining(character) > 0 for character in text)
    return len(text) + wide - combining


def shorten(text: str, limit: int) -> str:
    """Replace the middle of a text that takes more than `limit` cells (at least 3) by an ellipsis."""
    if text_cells(text) <= limit:
        return text
    head, tail = text[: limit // 2], text[limit // 2 - limit + 1 :]
    while text_cells(head + tail) > limit - 1:
        head, tail = (head[:-1], tail) if len(head) > len(tail) else (head, tail[1:])
    return f"{head}…{tail}"


def wrap(text: str, width: int, lines: int) -> tuple[str, ...]:
    """Break a name after dots, dashes, colons, slashes, underscores and blanks.

    Args:
        text: the name.
        width: maximum cells of a line.
        lines: maximum number of lines; a longer name loses its middle.
    """
    text = " ".join(text.split()) or " "
    rows = _wrap(text, width)
    limit = width * lines
    while len(rows) > lines:
        rows = _wrap(shorten(text, limit), width)
        limit -= 1
    return tuple(rows)


def _wrap(text: str, width: int) -> list[str]:
    rows = [""]
    for part in _NAME_PART.findall(text):
        rest = part
        if text_cells(rows[-1] + rest.rstrip()) <= width:
            rows[-1] += rest
            continue
        if rows[-1]:
            rows.append("")
        while text_cells(rest.rstrip()) > width:
            cut = _fitting_length(rest, width)
            rows[-1], rest = rest[:cut], rest[cut:]
            rows.append("")
        rows[-1] = rest
    return [row.strip() for row in rows if row.strip()] or [" "]


def _fitting_length(text: str, width: int) -> int:
    length = min(width, len(text))
    while length > 1 and text_cells(text[:length]) > width:
        length -= 1
    return length


# ------------------------------------------------------------- sizes and positions

#: Padding around an atom's text and around the contents of a flow, and the height of a flow's title.
_PAD_X, _PAD_Y, _FRAME, _TITLE = 16.0, 9.0, 24.0, 34.0

_ATOM_CELLS, _ATOM_LINES, _TITLE_CELLS = 30, 3, 48
_MIN_WIDTH = 104.0


@dataclass(frozen=True, slots=True)
class PlacedBox:
    """One box at its absolute position, with its text."""

    node: Node
    x: float
    y: float
    width: float
    height: float
    lines: tuple[str, ...]
    caption: str


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that is drawn; outer boxes come before the boxes inside them."""

    width: float
    height: float
    boxes: tuple[PlacedBox, ...]
    routes: tuple[Route, ...]


def build_scene(diagram: Diagram) -> Scene:
    """Lay out a diagram, with its upper left corner at (0, 0)."""
    builder = _SceneBuilder(diagram.by_parent())
    size = builder.measure(diagram.root)
    builder.place(diagram.root, 0.0, 0.0)
    return Scene(size.width, size.height, tuple(builder.boxes), tuple(builder.routes))


class _SceneBuilder:
    """`measure` recurses inwards and keeps sizes and layouts, `place` assigns absolute positions."""

    def __init__(self, groups: dict[str, tuple[list[Node], list[Edge]]]) -> None:
        self._groups = groups
        self._sizes: dict[str, Box] = {}
        self._layouts: dict[str, Layout] = {}
        self.boxes: list[PlacedBox] = []
        self.routes: list[Route] = []

    def measure(self, node: Node) -> Box:
        text_width = _text_width(node)
        if node.kind == "flow":
            children, edges = self._groups[node.key]
            inner = layout_flow([self.measure(child) for child in children], edges)
            self._layouts[node.key] = inner
            size = Box(node.key, max(inner.width + 2 * _FRAME, text_width), _TITLE + inner.height + _FRAME)
        else:
            lines = len(_label_lines(node)) * _NAME_LINE + (_CAPTION_LINE if caption(node) else 0.0)
            size = Box(node.key, max(text_width, _MIN_WIDTH), lines + 2 * _PAD_Y)
        self._sizes[node.key] = size
        return size

    def place(self, node: Node, x: float, y: float) -> None:
        size = self._sizes[node.key]
        self.boxes.append(PlacedBox(node, x, y, size.width, size.height, _label_lines(node), caption(node)))
        if node.kind != "flow":
            return
        inner = self._layouts[node.key]
        left, top = x + (size.width - inner.width) / 2, y + _TITLE
        for child in self._groups[node.key][0]:
            dx, dy = inner.positions[child.key]
            self.place(child, left + dx, top + dy)
        self.routes += [route.translated(left, top) for route in inner.routes]


def _label_lines(node: Node) -> tuple[str, ...]:
    if node.kind == "flow":
        return wrap(node.label, _TITLE_CELLS, 1)
    return wrap(node.label, _ATOM_CELLS, _ATOM_LINES)


def _text_width(node: Node) -> float:
    name = max(text_cells(line) for line in _label_lines(node)) * _CHARACTER * NAME_SIZE
    below = text_cells(caption(node)) * _CHARACTER * CAPTION_SIZE
    # A flow's title has name and caption on one line, an atom has them on separate lines.
    return (name + below + 3 * _PAD_X) if node.kind == "flow" else max(name, below) + 2 * _PAD_X


# ------------------------------------------------------------- writing

_FONTS = "'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"
_TEXT_COLOR = "#24292f"
_LINE_COLOR = "#8b949e"
_MARGIN = 16.0
_LEGEND_HEIGHT = 40.0
_CORNER = 8.0
#: Two points whose x differ by less than this are joined by a vertical line.
_VERTICAL = 0.05


def to_svg(diagram: Diagram) -> str:
    """Write a diagram as the text of an SVG file."""
    scene = build_scene(diagram)
    legend, legend_width = _legend_entries(diagram)
    width = max(scene.width, legend_width) + 2 * _MARGIN
    height = scene.height + 2 * _MARGIN + (_LEGEND_HEIGHT if legend else 0.0)
    root = ET.Element("svg", _root_attributes(width, height))
    ET.SubElement(root, "title").text = printable(diagram.root.label)
    _add_arrowhead(root)
    ET.SubElement(root, "rect", {"width": "100%", "height": "100%", "fill": "#ffffff"})
    body = ET.SubElement(root, "g", {"transform": f"translate({(width - scene.width) / 2:.1f} {_MARGIN})"})
    for box in scene.boxes:
        if box.node.kind == "flow":
            _add_flow(body, box)
    for route in scene.routes:
        _add_edge(body, route)
    for box in scene.boxes:
        if box.node.kind != "flow":
            _add_atom(body, box)
    _add_legend(root, legend, height - _LEGEND_HEIGHT)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def _root_attributes(width: float, height: float) -> dict[str, str]:
    return {
        "xmlns": "http://www.w3.org/2000/svg",
        "width": f"{width:.0f}",
        "height": f"{height:.0f}",
        "viewBox": f"0 0 {width:.1f} {height:.1f}",
        "font-family": _FONTS,
        "role": "img",
    }


def _add_arrowhead(root: ET.Element) -> None:
    marker = ET.SubElement(
        ET.SubElement(root, "defs"),
        "marker",
        {"id": "arrow", "viewBox": "0 0 8 8", "refX": "7", "refY": "4", "orient": "auto"}
        | {"markerWidth": "8", "markerHeight": "8", "markerUnits": "userSpaceOnUse"},
    )
    ET.SubElement(marker, "path", {"d": "M0 0.5 L8 4 L0 7.5 Z", "fill": _LINE_COLOR})


def _add_flow(body: ET.Element, box: PlacedBox) -> None:
    """Draw a frame with the name at the top left and the caption at the top right."""
    is_root = box.node.parent is None
    stroke = colors_of(box.node.status.state).stroke if box.node.status else _LINE_COLOR
    style = (
        {"fill": "#ffffff", "fill-opacity": "1"} if is_root else {"fill": "#1f6feb", "fill-opacity": "0.035"}
    )
    style |= {"rx": "10", "stroke": stroke, "stroke-width": "1.5" if is_root else "1"}
    if not is_root:
        style["stroke-dasharray"] = "5 4"
    group = _add_group(body, box)
    ET.SubElement(group, "rect", _rectangle(box) | style)
    _add_text(group, box.x + _PAD_X, box.y + 22, box.lines[0], NAME_SIZE, _TEXT_COLOR, weight="bold")
    if box.caption:
        _add_text(
            group, box.x + box.width - _PAD_X, box.y + 22, box.caption, CAPTION_SIZE, stroke, anchor="end"
        )


def _add_atom(body: ET.Element, box: PlacedBox) -> None:
    """Draw a box in the colors of the atom's state; a retry has round ends."""
    status = box.node.status
    colors = colors_of(status.state) if status else DEFAULT_COLORS
    style = {"fill": colors.fill, "stroke": colors.stroke, "stroke-width": "1.2"}
    if status is not None and status.failed:
        # The atom that made the flow fail stays visible after its rollback.
        style |= {"stroke": colors_of("FAILURE").stroke, "stroke-width": "2.2"}
    if status is not None and status.state == "IGNORE":
        style["stroke-dasharray"] = "3 3"
    style["rx"] = f"{box.height / 2:.1f}" if box.node.kind == "retry" else "6"
    group = _add_group(body, box)
    ET.SubElement(group, "rect", _rectangle(box) | style)
    text_height = len(box.lines) * _NAME_LINE + (_CAPTION_LINE if box.caption else 0.0)
    baseline = box.y + (box.height - text_height) / 2 + NAME_SIZE
    middle = box.x + box.width / 2
    for number, line in enumerate(box.lines):
        _add_text(
            group, middle, baseline + number * _NAME_LINE, line, NAME_SIZE, _TEXT_COLOR, anchor="middle"
        )
    if box.caption:
        below = baseline + len(box.lines) * _NAME_LINE - 1.0
        _add_text(group, middle, below, box.caption, CAPTION_SIZE, colors.stroke, anchor="middle")


def _add_group(body: ET.Element, box: PlacedBox) -> ET.Element:
    group = ET.SubElement(body, "g", {"class": f"box {box.node.kind}"})
    # The tooltip has the whole name, even where the box shows it shortened.
    ET.SubElement(group, "title").text = printable(" · ".join(filter(None, (box.node.label, box.caption))))
    return group


def _rectangle(box: PlacedBox) -> dict[str, str]:
    return {
        "x": f"{box.x:.1f}",
        "y": f"{box.y:.1f}",
        "width": f"{box.width:.1f}",
        "height": f"{box.height:.1f}",
    }


def _add_text(
    parent: ET.Element,
    x: float,
    y: float,
    text: str,
    size: float,
    color: str,
    anchor: str = "start",
    weight: str = "",
) -> None:
    style = {"x": f"{x:.1f}", "y": f"{y:.1f}", "font-size": f"{size:g}", "fill": color, "text-anchor": anchor}
    ET.SubElement(parent, "text", style | ({"font-weight": weight} if weight else {})).text = printable(text)


def _add_edge(body: ET.Element, route: Route) -> None:
    path = _curve(route.points) if route.shape == "curve" else _elbow(route.points)
    style = {"d": path, "fill": "none", "stroke": _LINE_COLOR, "stroke-width": "1.3"}
    if route.conditional:
        style["stroke-dasharray"] = "6 4"
    ET.SubElement(body, "path", style | {"marker-end": "url(#arrow)"})


def _curve(points: tuple[Point, ...]) -> str:
    """Write a path whose slanted segments leave and arrive vertically."""
    parts = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x, y), (to_x, to_y) in pairwise(points):
        if abs(x - to_x) < _VERTICAL:
            parts.append(f"V{to_y:.1f}")
        else:
            half = (y + to_y) / 2
            parts.append(f"C{x:.1f} {half:.1f} {to_x:.1f} {half:.1f} {to_x:.1f} {to_y:.1f}")
    return " ".join(parts)


def _elbow(points: tuple[Point, ...]) -> str:
    """Write a path of straight segments with rounded corners."""
    parts = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        enter, leave = _near_corner(corner, before), _near_corner(corner, after)
        parts.append(
            f"L{enter[0]:.1f} {enter[1]:.1f} Q{corner[0]:.1f} {corner[1]:.1f} {leave[0]:.1f} {leave[1]:.1f}"
        )
    parts.append(f"L{points[-1][0]:.1f} {points[-1][1]:.1f}")
    return " ".join(parts)


def _near_corner(corner: Point, other: Point) -> Point:
    """Return the point where the rounding of a corner begins, on the segment towards another point."""
    dx, dy = other[0] - corner[0], other[1] - corner[1]
    length = max((dx * dx + dy * dy) ** 0.5, 0.001)
    share = min(_CORNER, length / 2) / length
    return corner[0] + dx * share, corner[1] + dy * share


def _legend_entries(diagram: Diagram) -> tuple[list[tuple[float, str]], float]:
    """Return the x position of each state that occurs, and the width of the whole legend."""
    states = {node.status.state for node in diagram.nodes if node.status is not None}
    x = 0.0
    entries = []
    for state in [*(name for name in STATE_COLORS if name in states), *sorted(states - STATE_COLORS.keys())]:
        entries.append((x, state))
        x += 20 + text_cells(state) * _CHARACTER * CAPTION_SIZE + 22
    return entries, x


def _add_legend(root: ET.Element, entries: list[tuple[float, str]], top: float) -> None:
    for x, state in entries:
        colors = colors_of(state)
        swatch = {"x": f"{_MARGIN + x:.1f}", "y": f"{top + 10:.1f}", "width": "14", "height": "14", "rx": "3"}
        ET.SubElement(root, "rect", swatch | {"fill": colors.fill, "stroke": colors.stroke})
        _add_text(root, _MARGIN + x + 20, top + 21, state, CAPTION_SIZE, "#57606a")
