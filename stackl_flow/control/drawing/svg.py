"""The SVG form: one self-standing file with no script, no outside font and no outside style."""

import xml.etree.ElementTree as ET
from itertools import pairwise

from stackl_flow.control.drawing import scene
from stackl_flow.control.drawing.geometry import Point, Route
from stackl_flow.control.drawing.legend import legend
from stackl_flow.control.drawing.model import Drawing
from stackl_flow.control.drawing.palette import PLAIN, tint
from stackl_flow.control.drawing.scene import NAME_LINE, NAME_SIZE, NOTE_LINE, NOTE_SIZE, PAD_X, Box
from stackl_flow.control.drawing.words import printable

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
    page = scene.build(drawing)
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
