"""Where across the page each cell of a row stands: near its neighbours, never on top of the next cell.

For one row this is a small problem with an exact answer: find places as near as possible (least squares) to
the wished ones while keeping the distances. Taking the distances off turns it into isotonic regression,
which the "pool adjacent violators" rule solves in one pass.
"""

from collections.abc import Sequence
from itertools import pairwise

from stackl_flow.control.drawing.geometry import GAP_X
from stackl_flow.control.drawing.ranks import SLOT, Cell, Rows

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
