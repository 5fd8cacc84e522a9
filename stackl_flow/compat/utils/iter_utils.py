"""TaskFlow's `taskflow.utils.iter_utils`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any


def _checked(it: Any) -> Iterable[Any]:
    """Refuse, at once and not when first gone over, what cannot be gone over."""
    if not isinstance(it, Iterable):
        raise ValueError(f"Iterable expected, but '{it}' is not iterable")  # noqa: TRY004  TaskFlow raises this
    return it


def fill(it: Iterable[Any], desired_len: int, filler: Any = None) -> Iterator[Any]:
    """Cut a list short, or make it longer.

    Args:
        it: the items.
        desired_len: how many there are to be.
        filler: what to add where there are fewer.

    Returns:
        The items.

    Raises:
        ValueError: there are no items to go over.
    """
    return itertools.islice(itertools.chain(_checked(it), itertools.repeat(filler)), max(0, desired_len))


def count(it: Iterable[Any]) -> int:
    """Count items by going over them.

    Args:
        it: the items.

    Returns:
        How many there are.

    Raises:
        ValueError: there are no items to go over.
    """
    return sum(1 for _ in _checked(it))


def generate_delays(delay: float, max_delay: float, multiplier: float = 2) -> Iterator[float]:
    """Give one delay after another, each longer, without end.

    Args:
        delay: the first, in seconds.
        max_delay: the longest, in seconds.
        multiplier: how many times longer each is than the one before.

    Returns:
        The delays, in seconds.

    Raises:
        ValueError: a delay is negative, or they would get shorter.
    """
    if delay < 0 or max_delay < 0:
        raise ValueError(f"delays must be zero or more, not {delay} up to {max_delay}")
    if multiplier < 1:
        raise ValueError(f"multiplier must be 1 or more, not {multiplier}")
    growing = itertools.accumulate(itertools.repeat(multiplier), lambda now, by: min(now * by, max_delay),
                                   initial=min(delay, max_delay))  # fmt: skip
    return iter(growing)


def unique_seen(
    its: Iterable[Iterable[Any]], seen_selector: Callable[[Any], Any] | None = None
) -> Iterator[Any]:
    """Go over the items of several lists, each item once.

    Args:
        its: the lists.
        seen_selector: tells what of an item counts; all of it if left out.

    Returns:
        The items, in the order in which they first came.

    Raises:
        ValueError: one of the lists cannot be gone over.
    """
    checked = [_checked(it) for it in its]
    key = seen_selector or (lambda value: value)

    def once() -> Iterator[Any]:
        seen = set()
        for value in itertools.chain.from_iterable(checked):
            known = key(value)
            if known not in seen:
                seen.add(known)
                yield value

    return once()


def find_first_match(it: Iterable[Any], matcher: Callable[[Any], Any], not_found_value: Any = None) -> Any:
    """Find an item.

    Args:
        it: the items.
        matcher: says of an item whether it is the one.
        not_found_value: what to return when none is.

    Returns:
        The first that is.

    Raises:
        ValueError: there are no items to go over.
    """
    return next((value for value in _checked(it) if matcher(value)), not_found_value)


def while_is_not(it: Iterable[Any], stop_value: Any) -> Iterator[Any]:
    """Go over items up to, and with, one of them.

    Args:
        it: the items.
        stop_value: the last, the very object.

    Returns:
        The items.

    Raises:
        ValueError: there are no items to go over.
    """
    checked = _checked(it)

    def until() -> Iterator[Any]:
        for value in checked:
            yield value
            if value is stop_value:
                return

    return until()


def iter_forever(limit: int) -> Iterator[int]:
    """Count up from zero.

    Args:
        limit: how many numbers; without end if negative.

    Returns:
        The numbers.
    """
    return itertools.count() if limit < 0 else iter(range(limit))
