"""The linear flow: one item after the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Self

from stackl_flow.patterns import base
from stackl_flow.retry import Retry


class Flow(base.Flow):
    """A flow whose items run in the order they were added, and are undone in reverse.

    Args:
        name: what it is called.
        retry: decides what happens when an atom in it fails.
    """

    ordering = "total"

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
        """Go over the items in the order in which they run."""
        return iter(self._items)

    def iter_links(self) -> Iterator[tuple[base.Item, base.Item, base.Meta]]:
        """Go over the links from each item to the next."""
        for before, after in itertools.pairwise(self._items):
            yield before, after, {base.LINK_INVARIANT: True}

    @property
    def requires(self) -> frozenset[str]:
        """The names needed from outside: those that no earlier item provides."""
        needed, known = self._retry_names()
        for item in self._items:
            needed |= item.requires - known
            known |= item.provides
        return frozenset(needed)
