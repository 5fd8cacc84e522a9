"""Rows of a flow's boxes: every arrow points to a lower row, and none has to pass through a box.

A row that would be too wide is broken into several. An arrow that passes a row gets a slot of its own in
it, a `Cell` without a box; arrows from one source (or to one target) share that slot, so that a fan of two
hundred arrows stays one line until it spreads.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import networkx as nx

from stackl_flow.control.drawing.geometry import GAP_X, Item
from stackl_flow.control.drawing.model import Link

#: Width kept free for an arrow that passes a row.
SLOT = 6.0


@dataclass(slots=True, eq=False)
class Cell:
    """A place in a row: a box, or (item is None) the slot of passing arrows of one bundle."""

    width: float
    item: Item | None
    bundle: tuple[str, str] | None = None
    ups: list["Cell"] = field(default_factory=list)
    downs: list["Cell"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows from top to bottom, which of them once were one row, and the cells each link goes through."""

    rows: list[list[Cell]]
    blocks: list[range]
    ways: dict[Link, list[Cell]]


def make_rows(items: Sequence[Item], links: Sequence[Link], limit: float) -> Rows:
    """Put boxes into rows and give long arrows their slots.

    Args:
        items: the boxes, in the order they were added to the flow.
        links: arrows between them, without a cycle.
        limit: width after which a row is broken.

    Returns:
        The rows; cells know their neighbours above and below.
    """
    numbers, blocks = _numbers(items, links, limit)
    rows: list[list[Cell]] = [[] for _ in range(1 + max(numbers.values()))]
    cells = {item.key: Cell(item.width, item) for item in items}
    for item in items:
        rows[numbers[item.key]].append(cells[item.key])
    ways = _ways(links, numbers, cells, rows)
    pairs = {(one, other) for way in ways.values() for one, other in pairwise(way)}
    place = {cell: (number, at) for number, row in enumerate(rows) for at, cell in enumerate(row)}
    for one, other in sorted(pairs, key=lambda pair: (place[pair[0]], place[pair[1]])):
        one.downs.append(other)
        other.ups.append(one)
    return Rows(rows, blocks, ways)


def _numbers(
    items: Sequence[Item], links: Sequence[Link], limit: float
) -> tuple[dict[str, int], list[range]]:
    """Number the rows: the longest way from the top, then wide rows broken into even parts."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(item.key for item in items)
    graph.add_edges_from((link.source, link.target) for link in links)
    widths = {item.key: item.width + GAP_X for item in items}
    order = {item.key: number for number, item in enumerate(items)}
    numbers: dict[str, int] = {}
    blocks: list[range] = []
    row = 0
    for generation in nx.topological_generations(graph):
        keys = sorted(generation, key=order.__getitem__)
        parts = max(1, -(-int(sum(widths[key] for key in keys)) // int(limit)))
        size = -(-len(keys) // parts)
        for at, key in enumerate(keys):
            numbers[key] = row + at // size
        blocks.append(range(row, row - (-len(keys) // size)))
        row = blocks[-1].stop
    return numbers, blocks


def _ways(
    links: Sequence[Link], numbers: dict[str, int], cells: dict[str, Cell], rows: list[list[Cell]]
) -> dict[Link, list[Cell]]:
    """Find the cells each link goes through; slots are made when first asked for and shared by bundle."""
    leaving = Counter(link.source for link in links)
    coming = Counter(link.target for link in links)
    slots: dict[tuple[str, str], dict[int, Cell]] = defaultdict(dict)
    ways = {}
    for link in links:
        bundle = ("from", link.source) if leaving[link.source] >= coming[link.target] else ("to", link.target)
        way = [cells[link.source]]
        for number in range(numbers[link.source] + 1, numbers[link.target]):
            if number not in slots[bundle]:
                slots[bundle][number] = Cell(SLOT, None, bundle)
                rows[number].append(slots[bundle][number])
            way.append(slots[bundle][number])
        ways[link] = [*way, cells[link.target]]
    return ways
