"""Sizes and places of everything in a picture: boxes in boxes, worked out from the inmost flow outwards."""

from dataclasses import dataclass

from stackl_flow.control.drawing.arrange import arrange
from stackl_flow.control.drawing.geometry import Arrangement, Item, Route
from stackl_flow.control.drawing.model import Drawing, Link, Node
from stackl_flow.control.drawing.words import LETTER, cells, span, wrap

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
