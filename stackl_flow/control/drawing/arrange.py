"""Lay out the boxes of one flow: a grid without links, folded columns for a chain, rows for the rest."""

from collections.abc import Sequence
from math import sqrt

from stackl_flow.control.drawing.chain import find_chain, fold
from stackl_flow.control.drawing.columns import middles
from stackl_flow.control.drawing.geometry import GAP_X, GAP_Y, SHAPE, Arrangement, Item, Point, Route
from stackl_flow.control.drawing.model import Link
from stackl_flow.control.drawing.order import untangle
from stackl_flow.control.drawing.ranks import Cell, Rows, make_rows

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
