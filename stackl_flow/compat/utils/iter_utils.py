"""TaskFlow's `taskflow.utils.iter_utils`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any


def _checked(it: Any) -> Iterable[Any]:
    """Raise ValueError at the call, not at the first iteration, if the argument is not iterable."""
    if not isinstance(it, Iterable):
        raise ValueError(f"Iterable expected, but '{it}' is not iterable")  # noqa: TRY004  TaskFlow raises this
    return it


def fill(it: Iterable[Any], desired_len: int, filler: Any = None) -> Iterator[Any]:
    """Truncate or extend an iterable.

    Args:
        it: the items.
        desired_len: the length of the result.
        filler: appended if there are too few items.

    Raises:
        ValueError: ``it`` is not iterable.
    """
    return itertools.islice(itertools.chain(_checked(it), itertools.repeat(filler)), max(0, desired_len))


def count(it: Iterable[Any]) -> int:
    """Count the items of an iterable.

    Raises:
        ValueError: ``it`` is not iterable.
    """
    return sum(1 for _ in _checked(it))


def generate_delays(delay: float, max_delay: float, multiplier: float = 2) -> Iterator[float]:
    """Yield growing delays without end.

    Args:
        delay: the first delay in seconds.
        max_delay: the maximum delay in seconds.
        multiplier: the growth factor.

    Raises:
        ValueError: a delay is negative, or the multiplier is less than 1.
    """
    if delay < 0 or max_delay < 0:
        raise ValueError(f"delays must be zero or more, not {delay} up to {max_delay}")
    if multiplier < 1:
        raise ValueError(f"multiplier must be 1 or more, not {multiplier}")
    factors = itertools.repeat(multiplier)
    first = min(delay, max_delay)
    return itertools.accumulate(factors, lambda last, factor: min(last * factor, max_delay), initial=first)


def unique_seen(
    its: Iterable[Iterable[Any]], seen_selector: Callable[[Any], Any] | None = None
) -> Iterator[Any]:
    """Iterate over the items of several iterables without duplicates.

    Args:
        its: the iterables.
        seen_selector: the key of an item; by default the item itself.

    Raises:
        ValueError: one of ``its`` is not iterable.
    """
    checked = [_checked(it) for it in its]
    key = seen_selector or (lambda value: value)

    def unique() -> Iterator[Any]:
        seen = set()
        for value in itertools.chain.from_iterable(checked):
            value_key = key(value)
            if value_key not in seen:
                seen.add(value_key)
                yield value

    return unique()


def find_first_match(it: Iterable[Any], matcher: Callable[[Any], Any], not_found_value: Any = None) -> Any:
    """Return the first item that matches.

    Args:
        it: the items.
        matcher: the predicate.
        not_found_value: returned if none matches.

    Raises:
        ValueError: ``it`` is not iterable.
    """
    return next((value for value in _checked(it) if matcher(value)), not_found_value)


def while_is_not(it: Iterable[Any], stop_value: Any) -> Iterator[Any]:
    """Iterate over the items up to and including ``stop_value``, compared by identity.

    Raises:
        ValueError: ``it`` is not iterable.
    """
    checked = _checked(it)

    def generate() -> Iterator[Any]:
        for value in checked:
            yield value
            if value is stop_value:
                return

    return generate()


def iter_forever(limit: int) -> Iterator[int]:
    """Count up from zero, ``limit`` numbers or, if negative, without end."""
    return itertools.count() if limit < 0 else iter(range(limit))
