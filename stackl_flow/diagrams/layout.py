"""Lay out the boxes of one flow: a grid without links, folded columns for a chain, rows for the rest.

Where across the page each cell of a row stands: near its neighbours, never on top of the next cell.

For one row this is a small problem with an exact answer: find places as near as possible (least squares) to
the wished ones while keeping the distances. Taking the distances off turns it into isotonic regression,
which the "pool adjacent violators" rule solves in one pass.

Rows of a flow's boxes: every arrow points to a lower row, and none has to pass through a box.

A row that would be too wide is broken into several. An arrow that passes a row gets a slot of its own in
it, a `Cell` without a box; arrows from one source (or to one target) share that slot, so that a fan of two
hundred arrows stays one line until it spreads.

Left-to-right order in the rows, chosen so that few arrows cross (Sugiyama's barycentres).

The few shapes that laying out a flow speaks of; every length is in SVG user units (pixels at scale 1).
"""

from bisect import bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import sqrt

import networkx as nx

from stackl_flow.diagrams.model import Link

Point = tuple[float, float]

#: Room between two boxes side by side, and between two rows of boxes.
GAP_X = 28.0
GAP_Y = 36.0

#: Width over height that a large picture aims at.
SHAPE = 1.5


@dataclass(frozen=True, slots=True)
class Item:
    """A box that wants a place."""

    key: str
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Route:
    """The way of one arrow.

    In a "curve" vertical pieces are straight and all others are drawn as an S; in an "elbow" every piece is
    straight and the corners are rounded.
    """

    source: str
    target: str
    points: tuple[Point, ...]
    shape: str = "curve"
    guarded: bool = False

    def moved(self, dx: float, dy: float) -> "Route":
        """Give the same way, moved by (dx, dy)."""
        points = tuple((x + dx, y + dy) for x, y in self.points)
        return Route(self.source, self.target, points, self.shape, self.guarded)


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Where the boxes of one flow stand (top left corners) and how its arrows run."""

    width: float
    height: float
    spots: dict[str, Point] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()


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


_SWEEPS = 10
_PULLS = 3
#: How much more a slot (a long arrow) is pulled to its line than a box is held at its place.
_STRAIGHT = 50.0


def middles(layout: Rows) -> dict[Cell, float]:
    """Place all cells.

    Args:
        layout: the rows, each in its order.

    Returns:
        The x of each cell's middle; the leftmost box starts at 0.
    """
    rows = layout.rows
    at: dict[Cell, float] = {}
    for row in rows:
        offsets = _offsets(row)
        at.update({cell: offset - offsets[-1] / 2 for cell, offset in zip(row, offsets, strict=True)})
    slots = _slots(rows)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            wishes = [_wish(cell, at, down=down, both=sweep >= _SWEEPS - 2) for cell in row]
            at.update(zip(row, settle(wishes, [1.0] * len(row), _offsets(row)), strict=True))
        for block in layout.blocks:
            _gather([rows[number] for number in block], at)
        _straighten(rows, slots, at)
    left = min(at[cell] - cell.width / 2 for row in rows for cell in row)
    return {cell: x - left for cell, x in at.items()}


def _offsets(row: Sequence[Cell]) -> list[float]:
    """Least distance of each cell's middle from that of the first one."""
    offsets = [0.0]
    for one, other in pairwise(row):
        gap = GAP_X if one.item is not None or other.item is not None else 2 * SLOT
        offsets.append(offsets[-1] + (one.width + other.width) / 2 + gap)
    return offsets


def _wish(cell: Cell, at: dict[Cell, float], *, down: bool, both: bool) -> float:
    near = cell.ups + cell.downs if both else (cell.ups if down else cell.downs)
    return sum(at[one] for one in near) / len(near) if near else at[cell]


def _slots(rows: Sequence[Sequence[Cell]]) -> dict[tuple[str, str], list[Cell]]:
    bundles: dict[tuple[str, str], list[Cell]] = {}
    for row in rows:
        for cell in row:
            if cell.bundle is not None:
                bundles.setdefault(cell.bundle, []).append(cell)
    return bundles


def _gather(rows: Sequence[Sequence[Cell]], at: dict[Cell, float]) -> None:
    """Stand the parts of a broken row straight under each other, like the lines of a text."""
    parts = [[cell for cell in row if cell.item is not None] for row in rows]
    if len(parts) > 1:
        middle = sum(at[cell] for part in parts for cell in part) / sum(map(len, parts))
        for part in parts:
            offsets = _offsets(part)
            at.update({cell: middle + off - offsets[-1] / 2 for cell, off in zip(part, offsets, strict=True)})


def _straighten(
    rows: Sequence[Sequence[Cell]], slots: dict[tuple[str, str], list[Cell]], at: dict[Cell, float]
) -> None:
    """Pull the slots of each long arrow to one upright line; boxes give way."""
    for _ in range(_PULLS):
        lines = {bundle: sum(at[cell] for cell in cells) / len(cells) for bundle, cells in slots.items()}
        for row in rows:
            wishes = [at[cell] if cell.bundle is None else lines[cell.bundle] for cell in row]
            weights = [1.0 if cell.bundle is None else _STRAIGHT for cell in row]
            at.update(zip(row, settle(wishes, weights, _offsets(row)), strict=True))


def settle(wishes: Sequence[float], weights: Sequence[float], offsets: Sequence[float]) -> list[float]:
    """Find the places nearest to the wished ones that keep the order and the distances.

    Args:
        wishes: wished places.
        weights: how much each wish counts.
        offsets: least distance of each place from the first one; growing.

    Returns:
        The places.
    """
    pools: list[tuple[float, float, int]] = []
    for wish, weight, offset in zip(wishes, weights, offsets, strict=True):
        value, mass, count = wish - offset, weight, 1
        while pools and pools[-1][0] > value:
            before, before_mass, before_count = pools.pop()
            value = (before * before_mass + value * mass) / (before_mass + mass)
            mass, count = before_mass + mass, before_count + count
        pools.append((value, mass, count))
    flat = [value for value, _, count in pools for _ in range(count)]
    return [value + offset for value, offset in zip(flat, offsets, strict=True)]


_ORDER_SWEEPS = 12


def untangle(rows: list[list[Cell]]) -> None:
    """Reorder each row in place.

    Sweeps down and up, each time sorting a row by the mean place of its neighbours; the best order seen is
    kept.

    Args:
        rows: rows from top to bottom.
    """
    best, fewest = [list(row) for row in rows], crossings(rows)
    for sweep in range(_ORDER_SWEEPS):
        if fewest == 0:
            break
        down = sweep % 2 == 0
        for row in rows[1:] if down else rows[-2::-1]:
            _sort(row, rows, down=down)
        count = crossings(rows)
        if count < fewest:
            best, fewest = [list(row) for row in rows], count
    rows[:] = best


def _sort(row: list[Cell], rows: Sequence[Sequence[Cell]], *, down: bool) -> None:
    places = _places(rows)
    means = {}
    for at, cell in enumerate(row):
        near = cell.ups if down else cell.downs
        # A cell without neighbours on that side stays where it is, in share of the row's length.
        means[cell] = sum(places[one] for one in near) / len(near) if near else (at + 0.5) / len(row)
    row.sort(key=means.__getitem__)


def _places(rows: Sequence[Sequence[Cell]]) -> dict[Cell, float]:
    return {cell: (at + 0.5) / len(row) for row in rows for at, cell in enumerate(row)}


def crossings(rows: Sequence[Sequence[Cell]]) -> int:
    """Count the crossings of arrows between neighbouring rows.

    Args:
        rows: rows from top to bottom, in their order.

    Returns:
        How many pairs of arrows cross.
    """
    places = {cell: at for row in rows for at, cell in enumerate(row)}
    total = 0
    for row in rows:
        passed: list[int] = []
        for cell in row:
            ends = sorted(places[low] for low in cell.downs)
            total += sum(len(passed) - bisect_right(passed, end) for end in ends)
            for end in ends:
                insort(passed, end)
    return total


#: A chain is folded only when it is taller than this.
_TALL = 1100.0


def find_chain(items: Sequence[Item], links: Sequence[Link]) -> list[Item] | None:
    """Give the boxes in order when they are one chain.

    Args:
        items: the boxes of one flow.
        links: the arrows between them.

    Returns:
        The boxes in the order of the chain, or None when they are no chain.
    """
    following = {link.source: link.target for link in links}
    targets = set(following.values())
    first = [item for item in items if item.key not in targets]
    if len(links) != len(items) - 1 or len(following) != len(links) or len(first) != 1:
        return None
    by_key = {item.key: item for item in items}
    chain = first
    while chain[-1].key in following:
        chain.append(by_key[following[chain[-1].key]])
    return chain if len(chain) == len(items) else None


def fold(chain: Sequence[Item], links: dict[tuple[str, str], Link]) -> Arrangement:
    """Stand a chain in columns like the text of a newspaper.

    Args:
        chain: the boxes in order.
        links: the arrows by their two ends.

    Returns:
        The arrangement; one column while the chain is short.
    """
    spots: dict[str, Point] = {}
    routes: list[Route] = []
    left, bottom = 0.0, 0.0
    last: tuple[Item, float] | None = None
    columns = _columns(chain)
    # Several columns need room above for the arrows that come over from the column before.
    head = GAP_Y / 2 if len(columns) > 1 else 0.0
    for column in columns:
        width = max(item.width for item in column)
        top, middle = head, left + width / 2
        for item in column:
            spots[item.key] = (middle - item.width / 2, top)
            top += item.height + GAP_Y
        bottom = max(bottom, top - GAP_Y)
        routes += [_straight(one, other, spots, links[one.key, other.key]) for one, other in pairwise(column)]
        if last is not None:
            routes.append(_over(last[0], column[0], spots, last[1], links[last[0].key, column[0].key]))
        last = (column[-1], left + width + GAP_X)
        left += width + 2 * GAP_X
    return Arrangement(left - 2 * GAP_X, bottom, spots, tuple(routes))


def _columns(chain: Sequence[Item]) -> list[list[Item]]:
    height = sum(item.height + GAP_Y for item in chain)
    if height <= _TALL:
        return [list(chain)]
    width = sum(item.width + 2 * GAP_X for item in chain) / len(chain)
    most = max(
        height / max(1, round(sqrt(height * SHAPE / width))), max(item.height for item in chain) + GAP_Y
    )
    columns: list[list[Item]] = [[]]
    used = 0.0
    for item in chain:
        used += item.height + GAP_Y
        if columns[-1] and used > most * 1.001:
            columns.append([])
            used = item.height + GAP_Y
        columns[-1].append(item)
    return columns


def _straight(one: Item, other: Item, spots: dict[str, Point], link: Link) -> Route:
    x, y = spots[one.key]
    middle = x + one.width / 2
    return Route(
        one.key, other.key, ((middle, y + one.height), (middle, spots[other.key][1])), "elbow", link.guarded
    )


def _over(one: Item, other: Item, spots: dict[str, Point], gutter: float, link: Link) -> Route:
    """Lead an arrow from the foot of one column through the gutter to the head of the next."""
    (x, y), (to_x, to_y) = spots[one.key], spots[other.key]
    start, end = x + one.width / 2, to_x + other.width / 2
    low, high = y + one.height + GAP_Y / 2, to_y - GAP_Y / 2
    points = ((start, y + one.height), (start, low), (gutter, low), (gutter, high), (end, high), (end, to_y))
    return Route(one.key, other.key, points, "elbow", link.guarded)


#: The same for a flow with links: a broken row costs more there, since its arrows have to pass other rows.
_LINKED_SHAPE = 4.0
#: So few boxes always stand in one row.
_ONE_ROW = 4


def arrange(items: Sequence[Item], links: Sequence[Link]) -> Arrangement:
    """Give every box a place and every arrow a way.

    Args:
        items: the boxes of one flow, in the order they were added to it.
        links: the arrows between them, without a cycle.

    Returns:
        The arrangement; no two boxes overlap, and no arrow runs through a box.
    """
    if not items:
        return Arrangement(0.0, 0.0)
    if not links:
        return _grid(items)
    chain = find_chain(items, links)
    if chain is not None:
        return fold(chain, {(link.source, link.target): link for link in links})
    rows = make_rows(items, links, _row_limit(items))
    untangle(rows.rows)
    return _layered(rows)


def _row_limit(items: Sequence[Item]) -> float:
    area = sum((item.width + GAP_X) * (item.height + GAP_Y) for item in items)
    return max(sqrt(area * _LINKED_SHAPE), 900.0, *(item.width + GAP_X for item in items))


def _grid(items: Sequence[Item]) -> Arrangement:
    """Fill rows from left to right, all columns of one width so that the eye finds its way."""
    width = max(item.width for item in items) + GAP_X
    area = sum(width * (item.height + GAP_X) for item in items)
    columns = (
        max(1, min(len(items), round(sqrt(area * SHAPE) / width))) if len(items) > _ONE_ROW else len(items)
    )
    spots: dict[str, Point] = {}
    top = 0.0
    for start in range(0, len(items), columns):
        row = items[start : start + columns]
        for number, item in enumerate(row):
            spots[item.key] = (number * width + (width - GAP_X - item.width) / 2, top)
        top += max(item.height for item in row) + GAP_X
    return Arrangement(columns * width - GAP_X, top - GAP_X, spots)


def _layered(rows: Rows) -> Arrangement:
    """Stand rows under each other and bend the arrows only between rows."""
    at = middles(rows)
    tops: list[float] = []
    heights: list[float] = []
    top = 0.0
    for row in rows.rows:
        tops.append(top)
        heights.append(max((cell.item.height for cell in row if cell.item is not None), default=0.0))
        busy = sum(len(cell.downs) for cell in row)
        top += heights[-1] + GAP_Y + min(2.0 * busy, 2 * GAP_Y)
    band = {cell: (tops[number], heights[number]) for number, row in enumerate(rows.rows) for cell in row}
    spots: dict[str, Point] = {}
    for cell, (high, tall) in band.items():
        if cell.item is not None:
            spots[cell.item.key] = (at[cell] - cell.width / 2, high + (tall - cell.item.height) / 2)
    routes = tuple(_bent(link, way, at, band) for link, way in rows.ways.items())
    return Arrangement(max(at[cell] + cell.width / 2 for cell in at), tops[-1] + heights[-1], spots, routes)


def _bent(
    link: Link, way: Sequence[Cell], at: dict[Cell, float], band: dict[Cell, tuple[float, float]]
) -> Route:
    points: list[Point] = []
    for cell in way:
        high, tall = band[cell]
        own = tall if cell.item is None else cell.item.height
        inside = ((at[cell], high + (tall - own) / 2), (at[cell], high + (tall + own) / 2))
        edges = ((at[cell], high), *inside, (at[cell], high + tall))
        # The source gives only its lower half, the target only its upper one, a slot all of its height.
        points += edges[2:] if cell is way[0] else edges[:2] if cell is way[-1] else (edges[0], edges[3])
    return Route(link.source, link.target, tuple(dict.fromkeys(points)), "curve", link.guarded)
