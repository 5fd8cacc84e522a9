"""The unordered flow: all items at once."""

from __future__ import annotations

from collections.abc import Iterator

from stackl_flow.patterns import base


class Flow(base.InsertionOrderedFlow):
    """A flow whose items may run in any order, so that none can use what another provides.

    Where there is a choice, items start in the order in which they were added.

    Args:
        name: what it is called.
        retry: decides what happens when an atom in it fails.
    """

    ordering = "none"

    def iter_links(self) -> Iterator[tuple[base.Item, base.Item, base.Meta]]:
        """Go over nothing: there are no links."""
        return iter(())

    @property
    def requires(self) -> frozenset[str]:
        """The names needed from outside, which only the retry can spare."""
        needed, known = self._retry_names()
        for item in self._items:
            needed |= item.requires - known
        return frozenset(needed)
