"""TaskFlow's `taskflow.types.sets`: an immutable ordered set."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import Any


class OrderedSet(AbstractSet[Any], Hashable):
    """An immutable set that keeps the order in which its items were first seen.

    Args:
        iterable: the items.
    """

    __slots__ = ("_items",)

    def __init__(self, iterable: Iterable[Any] | None = None) -> None:
        self._items = dict.fromkeys(iterable or ())

    def __hash__(self) -> int:
        return self._hash()

    def __contains__(self, value: object) -> bool:
        return value in self._items

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (list(self),)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self)})"

    def copy(self) -> OrderedSet:
        """Return a copy."""
        return type(self)(self)

    def intersection(self, *sets: Collection[Any]) -> OrderedSet:
        """Return the items that are in all of the sets, in the order of this set."""
        return type(self)(item for item in self if all(item in other for other in sets))

    def issuperset(self, other: Iterable[Any]) -> bool:
        """Return whether this set contains all items of ``other``."""
        return all(item in self for item in other)

    def issubset(self, other: Collection[Any]) -> bool:
        """Return whether ``other`` contains all items of this set."""
        return all(item in other for item in self)

    def difference(self, *sets: Collection[Any]) -> OrderedSet:
        """Return the items that are in none of the other sets."""
        return type(self)(item for item in self if not any(item in other for other in sets))

    def union(self, *sets: Iterable[Any]) -> OrderedSet:
        """Return the items of all sets, those of this set first."""
        return type(self)(chain(self, *sets))
