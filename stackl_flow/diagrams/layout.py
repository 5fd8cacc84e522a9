"""Lays out the boxes of one flow: a grid without edges, columns for a chain, layers for everything else.

The layered layout is Sugiyama's: assign boxes to layers so that every edge points down, order each layer by
barycenters so that few edges cross, then choose x coordinates close to those of the neighbors. Two additions
keep large flows readable: a layer that would be too wide is broken into several rows, and an edge that spans
layers passes through a dummy cell in each of them, shared by edges with the same source (or target), so that
a fan of two hundred edges stays one line until it spreads. No edge passes through a box.

All lengths are SVG user units (pixels at scale 1).
"""

from bisect import bisect_right, insort
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from itertools import pairwise
from math import sqrt
from typing import Literal

from stackl_flow.diagrams.model import Edge

Point = tuple[float, float]

#: Distance between two boxes side by side, and between two rows of boxes.
GAP_X = 28.0
GAP_Y = 36.0

#: Aspect ratio (width over height) of large layouts.
_ASPECT = 1.5
#: The same with edges: rows of a broken layer cost more there, because edges have to pass them.
_ASPECT_WITH_EDGES = 4.0
#: Up to this many boxes without edges always stand in one row.
_ONE_ROW = 4
#: A chain that is taller than this is broken into columns.
_MAX_CHAIN_HEIGHT = 1100.0


@dataclass(frozen=True, slots=True)
class Box:
    """The size of a box that is to be placed."""

    key: str
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Route:
    """The path of one edge.

    In a "curve", vertical segments are straight and all others are drawn as an S. In an "elbow", every
    segment is straight and the corners are rounded.
    """

    source: str
    target: str
    points: tuple[Point, ...]
    shape: Literal["curve", "elbow"] = "curve"
    conditional: bool = False

    def translated(self, dx: float, dy: float) -> "Route":
        """Return the same path, shifted by (dx, dy)."""
        points = tuple((x + dx, y + dy) for x, y in self.points)
        return Route(self.source, self.target, points, self.shape, self.conditional)


@dataclass(frozen=True, slots=True)
class Layout:
    """Positions (top left corners) of the boxes of one flow, and the routes of its edges."""

    width: float
    height: float
    positions: dict[str, Point] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()


def layout_flow(boxes: Sequence[Box], edges: Sequence[Edge]) -> Layout:
    """Lay out one flow; no two boxes overlap, and no edge passes through a box.

    Args:
        boxes: in the order in which they were added to the flow.
        edges: between these boxes, without a cycle.
    """
    if not boxes:
        return Layout(0.0, 0.0)
    if not edges:
        return _layout_grid(boxes)
    chain = _find_chain(boxes, edges)
    if chain is not None:
        return _layout_chain(chain, {(edge.source, edge.target): edge for edge in edges})
    layers = _assign_layers(boxes, edges, _max_row_width(boxes))
    reduce_crossings(layers.rows)
    return _layout_layers(layers)


# ------------------------------------------------------------- grid


def _layout_grid(boxes: Sequence[Box]) -> Layout:
    """Fill rows from left to right, in columns of equal width."""
    width = max(box.width for box in boxes) + GAP_X
    area = sum(width * (box.height + GAP_X) for box in boxes)
    columns = len(boxes)
    if len(boxes) > _ONE_ROW:
        columns = max(1, min(len(boxes), round(sqrt(area * _ASPECT) / width)))
    positions: dict[str, Point] = {}
    top = 0.0
    for start in range(0, len(boxes), columns):
        row = boxes[start : start + columns]
        for column, box in enumerate(row):
            positions[box.key] = (column * width + (width - GAP_X - box.width) / 2, top)
        top += max(box.height for box in row) + GAP_X
    return Layout(columns * width - GAP_X, top - GAP_X, positions)


# ------------------------------------------------------------- chain


def _find_chain(boxes: Sequence[Box], edges: Sequence[Edge]) -> list[Box] | None:
    """Return the boxes in order if they form one chain, else None."""
    successor = {edge.source: edge.target for edge in edges}
    targets = set(successor.values())
    first = [box for box in boxes if box.key not in targets]
    if len(edges) != len(boxes) - 1 or len(successor) != len(edges) or len(first) != 1:
        return None
    by_key = {box.key: box for box in boxes}
    chain = first
    while chain[-1].key in successor:
        chain.append(by_key[successor[chain[-1].key]])
    return chain if len(chain) == len(boxes) else None


def _layout_chain(chain: Sequence[Box], edges: dict[tuple[str, str], Edge]) -> Layout:
    """Stack a chain in one column, or in several side by side if one would be too tall."""
    positions: dict[str, Point] = {}
    routes: list[Route] = []
    left, bottom = 0.0, 0.0
    previous: tuple[Box, float] | None = None
    columns = _chain_columns(chain)
    # Several columns need space at the top for the edges that come from the column before.
    head = GAP_Y / 2 if len(columns) > 1 else 0.0
    for column in columns:
        width = max(box.width for box in column)
        top, middle = head, left + width / 2
        for box in column:
            positions[box.key] = (middle - box.width / 2, top)
            top += box.height + GAP_Y
        bottom = max(bottom, top - GAP_Y)
        routes += [
            _straight_route(one, other, positions, edges[one.key, other.key])
            for one, other in pairwise(column)
        ]
        if previous is not None:
            last, gutter = previous
            routes.append(_column_route(last, column[0], positions, gutter, edges[last.key, column[0].key]))
        previous = (column[-1], left + width + GAP_X)
        left += width + 2 * GAP_X
    return Layout(left - 2 * GAP_X, bottom, positions, tuple(routes))


def _chain_columns(chain: Sequence[Box]) -> list[list[Box]]:
    height = sum(box.height + GAP_Y for box in chain)
    if height <= _MAX_CHAIN_HEIGHT:
        return [list(chain)]
    width = sum(box.width + 2 * GAP_X for box in chain) / len(chain)
    max_height = max(
        height / max(1, round(sqrt(height * _ASPECT / width))), max(box.height for box in chain) + GAP_Y
    )
    columns: list[list[Box]] = [[]]
    used = 0.0
    for box in chain:
        used += box.height + GAP_Y
        if columns[-1] and used > max_height * 1.001:
            columns.append([])
            used = box.height + GAP_Y
        columns[-1].append(box)
    return columns


def _straight_route(one: Box, other: Box, positions: dict[str, Point], edge: Edge) -> Route:
    x, y = positions[one.key]
    middle = x + one.width / 2
    points = ((middle, y + one.height), (middle, positions[other.key][1]))
    return Route(one.key, other.key, points, "elbow", edge.conditional)


def _column_route(one: Box, other: Box, positions: dict[str, Point], gutter: float, edge: Edge) -> Route:
    """Route an edge from the bottom of one column through the gutter to the top of the next."""
    (x, y), (to_x, to_y) = positions[one.key], positions[other.key]
    start, end = x + one.width / 2, to_x + other.width / 2
    low, high = y + one.height + GAP_Y / 2, to_y - GAP_Y / 2
    points = ((start, y + one.height), (start, low), (gutter, low), (gutter, high), (end, high), (end, to_y))
    return Route(one.key, other.key, points, "elbow", edge.conditional)


# ------------------------------------------------------------- layers: rows

#: Width that is kept free for an edge that passes a row.
_DUMMY_WIDTH = 6.0


@dataclass(slots=True, eq=False)
class Cell:
    """A position in a row: a box, or (box is None) the dummy cell of a bundle of passing edges."""

    width: float
    box: Box | None
    bundle: tuple[str, str] | None = None
    above: list["Cell"] = field(default_factory=list)
    below: list["Cell"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Layers:
    """All rows from top to bottom, the range of rows of each layer, and the cells that each edge passes."""

    rows: list[list[Cell]]
    layers: list[range]
    paths: dict[Edge, list[Cell]]


def _max_row_width(boxes: Sequence[Box]) -> float:
    area = sum((box.width + GAP_X) * (box.height + GAP_Y) for box in boxes)
    return max(sqrt(area * _ASPECT_WITH_EDGES), 900.0, *(box.width + GAP_X for box in boxes))


def _assign_layers(boxes: Sequence[Box], edges: Sequence[Edge], max_width: float) -> _Layers:
    """Assign boxes to rows, and add the dummy cells of edges that span rows."""
    row_of, layers = _number_rows(boxes, edges, max_width)
    rows: list[list[Cell]] = [[] for _ in range(1 + max(row_of.values()))]
    cells = {box.key: Cell(box.width, box) for box in boxes}
    for box in boxes:
        rows[row_of[box.key]].append(cells[box.key])
    paths = _edge_paths(edges, row_of, cells, rows)
    pairs = {(one, other) for path in paths.values() for one, other in pairwise(path)}
    order = {cell: (number, index) for number, row in enumerate(rows) for index, cell in enumerate(row)}
    for one, other in sorted(pairs, key=lambda pair: (order[pair[0]], order[pair[1]])):
        one.below.append(other)
        other.above.append(one)
    return _Layers(rows, layers, paths)


def _number_rows(
    boxes: Sequence[Box], edges: Sequence[Edge], max_width: float
) -> tuple[dict[str, int], list[range]]:
    """Number the rows: one layer for each length of the longest path, broken evenly where it is too wide."""
    widths = {box.key: box.width + GAP_X for box in boxes}
    order = {box.key: number for number, box in enumerate(boxes)}
    row_of: dict[str, int] = {}
    layers: list[range] = []
    first_row = 0
    for generation in _generations(boxes, edges):
        keys = sorted(generation, key=order.__getitem__)
        parts = max(1, -(-int(sum(widths[key] for key in keys)) // int(max_width)))
        size = -(-len(keys) // parts)
        for index, key in enumerate(keys):
            row_of[key] = first_row + index // size
        layers.append(range(first_row, first_row - (-len(keys) // size)))
        first_row = layers[-1].stop
    return row_of, layers


def _generations(boxes: Sequence[Box], edges: Sequence[Edge]) -> list[tuple[str, ...]]:
    """Group the keys of boxes by the length of the longest path that leads to them."""
    sorter: TopologicalSorter[str] = TopologicalSorter({box.key: () for box in boxes})
    for edge in edges:
        sorter.add(edge.target, edge.source)
    sorter.prepare()
    generations = []
    while sorter.is_active():
        generations.append(sorter.get_ready())
        sorter.done(*generations[-1])
    return generations


def _edge_paths(
    edges: Sequence[Edge], row_of: dict[str, int], cells: dict[str, Cell], rows: list[list[Cell]]
) -> dict[Edge, list[Cell]]:
    """List the cells that each edge passes; dummy cells are created on demand and shared by bundle."""
    outgoing = Counter(edge.source for edge in edges)
    incoming = Counter(edge.target for edge in edges)
    dummies: dict[tuple[str, str], dict[int, Cell]] = defaultdict(dict)
    paths = {}
    for edge in edges:
        if outgoing[edge.source] >= incoming[edge.target]:
            bundle = ("from", edge.source)
        else:
            bundle = ("to", edge.target)
        path = [cells[edge.source]]
        for number in range(row_of[edge.source] + 1, row_of[edge.target]):
            if number not in dummies[bundle]:
                dummies[bundle][number] = Cell(_DUMMY_WIDTH, None, bundle)
                rows[number].append(dummies[bundle][number])
            path.append(dummies[bundle][number])
        paths[edge] = [*path, cells[edge.target]]
    return paths


# ------------------------------------------------------------- layers: order in the rows

_ORDER_SWEEPS = 12


def reduce_crossings(rows: list[list[Cell]]) -> None:
    """Reorder each row in place so that fewer edges cross.

    Sweeps down and up and sorts a row by the mean position of its neighbors each time. The best order is
    kept.
    """
    best, fewest = [list(row) for row in rows], count_crossings(rows)
    for sweep in range(_ORDER_SWEEPS):
        if fewest == 0:
            break
        is_down = sweep % 2 == 0
        for row in rows[1:] if is_down else rows[-2::-1]:
            _sort_by_barycenter(row, rows, is_down=is_down)
        count = count_crossings(rows)
        if count < fewest:
            best, fewest = [list(row) for row in rows], count
    rows[:] = best


def _sort_by_barycenter(row: list[Cell], rows: Sequence[Sequence[Cell]], *, is_down: bool) -> None:
    positions = {cell: (index + 0.5) / len(others) for others in rows for index, cell in enumerate(others)}
    means = {}
    for cell in row:
        neighbors = cell.above if is_down else cell.below
        # A cell without neighbors on that side stays where it is, relative to the length of the row.
        if neighbors:
            means[cell] = sum(positions[neighbor] for neighbor in neighbors) / len(neighbors)
        else:
            means[cell] = positions[cell]
    row.sort(key=means.__getitem__)


def count_crossings(rows: Sequence[Sequence[Cell]]) -> int:
    """Count the pairs of edges that cross between adjacent rows."""
    positions = {cell: index for row in rows for index, cell in enumerate(row)}
    total = 0
    for row in rows:
        passed: list[int] = []
        for cell in row:
            ends = sorted(positions[other] for other in cell.below)
            total += sum(len(passed) - bisect_right(passed, end) for end in ends)
            for end in ends:
                insort(passed, end)
    return total


# ------------------------------------------------------------- layers: x coordinates

_COORDINATE_SWEEPS = 10
_STRAIGHTENING_PASSES = 3
#: Weight of a dummy cell (a long edge) relative to that of a box when long edges are straightened.
_STRAIGHTNESS = 50.0


def _assign_x(layers: _Layers) -> dict[Cell, float]:
    """Return the x coordinate of each cell's middle; the leftmost box starts at 0."""
    rows = layers.rows
    x: dict[Cell, float] = {}
    for row in rows:
        offsets = _offsets(row)
        x.update({cell: offset - offsets[-1] / 2 for cell, offset in zip(row, offsets, strict=True)})
    bundles = _bundles(rows)
    for sweep in range(_COORDINATE_SWEEPS):
        is_down, is_late = sweep % 2 == 0, sweep >= _COORDINATE_SWEEPS - 2
        for row in rows if is_down else reversed(rows):
            desired = [_desired_x(cell, x, is_down=is_down, both=is_late) for cell in row]
            x.update(zip(row, fit_positions(desired, [1.0] * len(row), _offsets(row)), strict=True))
        for layer in layers.layers:
            _align_rows([rows[number] for number in layer], x)
        _straighten(rows, bundles, x)
    left = min(x[cell] - cell.width / 2 for row in rows for cell in row)
    return {cell: value - left for cell, value in x.items()}


def _offsets(row: Sequence[Cell]) -> list[float]:
    """Return the minimum distance of each cell's middle from that of the first cell."""
    offsets = [0.0]
    for one, other in pairwise(row):
        gap = GAP_X if one.box is not None or other.box is not None else 2 * _DUMMY_WIDTH
        offsets.append(offsets[-1] + (one.width + other.width) / 2 + gap)
    return offsets


def _desired_x(cell: Cell, x: dict[Cell, float], *, is_down: bool, both: bool) -> float:
    neighbors = cell.above + cell.below if both else (cell.above if is_down else cell.below)
    return sum(x[neighbor] for neighbor in neighbors) / len(neighbors) if neighbors else x[cell]


def _bundles(rows: Sequence[Sequence[Cell]]) -> dict[tuple[str, str], list[Cell]]:
    bundles: dict[tuple[str, str], list[Cell]] = {}
    for row in rows:
        for cell in row:
            if cell.bundle is not None:
                bundles.setdefault(cell.bundle, []).append(cell)
    return bundles


def _align_rows(rows: Sequence[Sequence[Cell]], x: dict[Cell, float]) -> None:
    """Center the rows of a broken layer below each other."""
    parts = [[cell for cell in row if cell.box is not None] for row in rows]
    if len(parts) > 1:
        middle = sum(x[cell] for part in parts for cell in part) / sum(map(len, parts))
        for part in parts:
            offsets = _offsets(part)
            x.update({cell: middle + off - offsets[-1] / 2 for cell, off in zip(part, offsets, strict=True)})


def _straighten(
    rows: Sequence[Sequence[Cell]], bundles: dict[tuple[str, str], list[Cell]], x: dict[Cell, float]
) -> None:
    """Pull the dummy cells of each long edge to one vertical line; boxes give way."""
    for _ in range(_STRAIGHTENING_PASSES):
        lines = {bundle: sum(x[cell] for cell in cells) / len(cells) for bundle, cells in bundles.items()}
        for row in rows:
            desired = [x[cell] if cell.bundle is None else lines[cell.bundle] for cell in row]
            weights = [1.0 if cell.bundle is None else _STRAIGHTNESS for cell in row]
            x.update(zip(row, fit_positions(desired, weights, _offsets(row)), strict=True))


def fit_positions(
    desired: Sequence[float], weights: Sequence[float], offsets: Sequence[float]
) -> list[float]:
    """Find the positions closest to the desired ones (least squares) that keep order and distances.

    Subtracting the offsets turns this into isotonic regression, which the "pool adjacent violators" rule
    solves in one pass.

    Args:
        desired: the desired positions.
        weights: the weight of each of them.
        offsets: minimum distance of each position from the first one; increasing.
    """
    pools: list[tuple[float, float, int]] = []
    for position, weight, offset in zip(desired, weights, offsets, strict=True):
        value, mass, count = position - offset, weight, 1
        while pools and pools[-1][0] > value:
            before, before_mass, before_count = pools.pop()
            value = (before * before_mass + value * mass) / (before_mass + mass)
            mass, count = before_mass + mass, before_count + count
        pools.append((value, mass, count))
    flat = [value for value, _, count in pools for _ in range(count)]
    return [value + offset for value, offset in zip(flat, offsets, strict=True)]


# ------------------------------------------------------------- layers: result


def _layout_layers(layers: _Layers) -> Layout:
    """Stack the rows; edges bend only between rows."""
    x = _assign_x(layers)
    bands: dict[Cell, tuple[float, float]] = {}
    top = row_height = 0.0
    next_top = 0.0
    for row in layers.rows:
        top, row_height = (
            next_top,
            max((cell.box.height for cell in row if cell.box is not None), default=0.0),
        )
        bands.update(dict.fromkeys(row, (top, row_height)))
        edge_count = sum(len(cell.below) for cell in row)
        next_top = top + row_height + GAP_Y + min(2.0 * edge_count, 2 * GAP_Y)
    positions = {
        cell.box.key: (x[cell] - cell.width / 2, band_top + (height - cell.box.height) / 2)
        for cell, (band_top, height) in bands.items()
        if cell.box is not None
    }
    routes = tuple(_curved_route(edge, path, x, bands) for edge, path in layers.paths.items())
    return Layout(max(x[cell] + cell.width / 2 for cell in x), top + row_height, positions, routes)


def _curved_route(
    edge: Edge, path: Sequence[Cell], x: dict[Cell, float], bands: dict[Cell, tuple[float, float]]
) -> Route:
    points: list[Point] = []
    for cell in path:
        top, row_height = bands[cell]
        height = row_height if cell.box is None else cell.box.height
        inside = ((x[cell], top + (row_height - height) / 2), (x[cell], top + (row_height + height) / 2))
        vertical = ((x[cell], top), *inside, (x[cell], top + row_height))
        # An edge leaves the source's bottom, enters the target's top, and passes a dummy cell in full.
        if cell is path[0]:
            points += vertical[2:]
        elif cell is path[-1]:
            points += vertical[:2]
        else:
            points += (vertical[0], vertical[3])
    return Route(edge.source, edge.target, tuple(dict.fromkeys(points)), "curve", edge.conditional)
