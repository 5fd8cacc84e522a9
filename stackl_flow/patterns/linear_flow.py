"""The linear flow: one item after the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from stackl_flow.patterns import base


class Flow(base.InsertionOrderedFlow):
    """A flow whose items run in the order they were added, and are undone in reverse.

    Args:
        name: what it is called.
        retry: decides what happens when an atom in it fails.
    """

    ordering = "total"

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
