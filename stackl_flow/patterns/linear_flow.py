"""The linear flow: items run one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from stackl_flow.patterns import base


class Flow(base.InsertionOrderedFlow):
    """A flow whose items run in the order of addition and are reverted in reverse.

    Args:
        name: the name; need not be unique.
        retry: the retry policy, which decides what happens when an atom of the flow fails.
    """

    ordering = "total"

    def iter_links(self) -> Iterator[tuple[base.Item, base.Item, base.Meta]]:
        """Iterate over the links from each item to the next."""
        for before, after in itertools.pairwise(self._items):
            yield before, after, {base.LINK_INVARIANT: True}

    @property
    def requires(self) -> frozenset[str]:
        """The names that no earlier item provides."""
        required, provided = self._retry_names()
        for item in self._items:
            required |= item.requires - provided
            provided |= item.provides
        return frozenset(required)
