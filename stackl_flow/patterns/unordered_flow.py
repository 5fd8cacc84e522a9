"""The unordered flow: items may run at the same time."""

from __future__ import annotations

from collections.abc import Iterator

from stackl_flow.patterns import base


class Flow(base.InsertionOrderedFlow):
    """A flow whose items may run in any order and in parallel, so none can use the output of another.

    A serial engine runs the items in the order of addition.

    Args:
        name: the name; need not be unique.
        retry: the retry policy, which decides what happens when an atom of the flow fails.
    """

    ordering = "none"

    def iter_links(self) -> Iterator[tuple[base.Item, base.Item, base.Meta]]:
        """Return an empty iterator: the items have no links."""
        return iter(())

    @property
    def requires(self) -> frozenset[str]:
        """The names that the items need and the retry does not provide."""
        required, provided = self._retry_names()
        for item in self._items:
            required |= item.requires - provided
        return frozenset(required)
