"""What the flows that keep their items in a list share: the items, in the order in which they were added."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from stackl_flow.patterns import base
from stackl_flow.retry import Retry


class Flow(base.Flow):
    """A flow that keeps its items in the order in which they were added.

    Args:
        name: what it is called.
        retry: decides what happens when an atom in it fails.
    """

    def __init__(self, name: str, retry: Retry | None = None) -> None:
        super().__init__(name, retry)
        self._items: dict[base.Item, None] = {}

    def add(self, *items: base.Item) -> Self:
        """Add items at the end; one that is there already is not added again.

        Args:
            items: atoms and flows.

        Returns:
            This flow.

        Raises:
            NotAnAtom: an item is neither an atom nor a flow.
        """
        self._check_items(items)
        self._items.update(dict.fromkeys(items))
        return self

    def __len__(self) -> int:
        """Count the items."""
        return len(self._items)

    def __iter__(self) -> Iterator[base.Item]:
        """Go over the items in the order in which they were added."""
        return iter(self._items)
