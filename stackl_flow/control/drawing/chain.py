"""A chain of boxes: one column, or several side by side when one would be too tall to look at."""

from collections.abc import Sequence
from itertools import pairwise
from math import sqrt

from stackl_flow.control.drawing.geometry import GAP_X, GAP_Y, SHAPE, Arrangement, Item, Point, Route
from stackl_flow.control.drawing.model import Link

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
