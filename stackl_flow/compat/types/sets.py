"""TaskFlow's `taskflow.types.sets`: a set that cannot change and keeps the order of its items."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import Any


class OrderedSet(AbstractSet[Any], Hashable):
    """A set that cannot change and keeps the order in which its items first came.

    Args:
        iterable: the items.
    """

    __slots__ = ("_items",)

    def __init__(self, iterable: Iterable[Any] | None = None) -> None:
        self._items = dict.fromkeys(iterable or ())

    def __hash__(self) -> int:
        """Hash as any set with these items does."""
        return self._hash()

    def __contains__(self, value: object) -> bool:
        """Say whether an item is in the set."""
        return value in self._items

    def __len__(self) -> int:
        """Count the items."""
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        """Go over the items in their order."""
        return iter(self._items)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as the list of items."""
        return type(self), (list(self),)

    def __repr__(self) -> str:
        """Show the items in their order."""
        return f"{type(self).__name__}({list(self)})"

    def copy(self) -> OrderedSet:
        """Return a set with the same items."""
        return type(self)(self)

    def intersection(self, *sets: Collection[Any]) -> OrderedSet:
        """Return the items that are in all of several sets.

        Args:
            sets: the other sets.

        Returns:
            A new set, in this one's order.
        """
        return type(self)(item for item in self if all(item in other for other in sets))

    def issuperset(self, other: Iterable[Any]) -> bool:
        """Say whether all of another's items are in this set.

        Args:
            other: the other set.

        Returns:
            True when they are.
        """
        return all(item in self for item in other)

    def issubset(self, other: Collection[Any]) -> bool:
        """Say whether all items of this set are in another.

        Args:
            other: the other set.

        Returns:
            True when they are.
        """
        return all(item in other for item in self)

    def difference(self, *sets: Collection[Any]) -> OrderedSet:
        """Return the items that are in none of several other sets.

        Args:
            sets: the other sets.

        Returns:
            A new set, in this one's order.
        """
        return type(self)(item for item in self if not any(item in other for other in sets))

    def union(self, *sets: Iterable[Any]) -> OrderedSet:
        """Return the items that are in any of several sets.

        Args:
            sets: the other sets.

        Returns:
            A new set, this one's items first.
        """
        return type(self)(chain(self, *sets))
