"""Left-to-right order in the rows, chosen so that few arrows cross (Sugiyama's barycentres)."""

from bisect import bisect_right, insort
from collections.abc import Sequence

from stackl_flow.control.drawing.ranks import Cell

_SWEEPS = 12


def untangle(rows: list[list[Cell]]) -> None:
    """Reorder each row in place.

    Sweeps down and up, each time sorting a row by the mean place of its neighbours; the best order seen is
    kept.

    Args:
        rows: rows from top to bottom.
    """
    best, fewest = [list(row) for row in rows], crossings(rows)
    for sweep in range(_SWEEPS):
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
