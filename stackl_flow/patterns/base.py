"""Base classes of flow patterns: a flow has a name, an optional retry, and items with links between them."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Final, Self

from stackl_flow import exceptions as exc
from stackl_flow.atom import Atom
from stackl_flow.retry import Retry

# Keys of the attributes of links.
LINK_INVARIANT: Final = "invariant"
LINK_MANUAL: Final = "manual"
LINK_RETRY: Final = "retry"
LINK_REASONS: Final = "reasons"
LINK_DECIDER: Final = "decider"
LINK_DECIDER_DEPTH: Final = "decider_depth"

Meta = dict[str, Any]


class Flow(abc.ABC):
    """Base class of flows: a named structure of atoms and other flows.

    Args:
        name: the name; need not be unique.
        retry: the retry policy, which decides what happens when an atom of the flow fails.

    Attributes:
        ordering: how the items are ordered: one after the other ("total"), by their links ("partial") or not
            at all ("none"). The engine uses it to find providers without a search.

    Raises:
        NotAnAtom: ``name`` is an atom or flow, or ``retry`` is not an atom.
    """

    ordering: ClassVar[str] = "partial"

    def __init__(self, name: str, retry: Retry | None = None) -> None:
        if isinstance(name, (Atom, Flow)):
            kind = type(self).__name__
            raise exc.NotAnAtom(
                f"the first argument of {kind} is its name, not {name!r}: write {kind}('name').add(...)"
            )
        if retry is not None and not isinstance(retry, Atom):  # tasks are rejected by the compiler
            raise exc.NotAnAtom(f"retry= of flow '{name}' takes a retry such as Times(3), not {retry!r}")
        self._name = str(name)
        self._retry = retry
        if retry is not None and retry.name is None:
            retry.name = f"{self._name}_retry"

    @property
    def name(self) -> str:
        """The name of the flow."""
        return self._name

    @property
    def retry(self) -> Retry | None:
        """The retry policy of the flow, or None."""
        return self._retry

    @abc.abstractmethod
    def add(self, *items: Item) -> Self:
        """Add atoms and flows, and return this flow; items that it contains already are ignored."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """Return the number of items."""

    @abc.abstractmethod
    def __iter__(self) -> Iterator[Item]:
        """Iterate over the items in an order in which they could run."""

    @abc.abstractmethod
    def iter_links(self) -> Iterator[tuple[Item, Item, Meta]]:
        """Iterate over the links: source, target and attributes."""

    def iter_nodes(self) -> Iterator[tuple[Item, Meta]]:
        """Iterate over the items, each with its attributes."""
        for item in self:
            yield item, {}

    @property
    def provides(self) -> frozenset[str]:
        """The names that the items and the retry provide."""
        names: set[str] = set(self._retry.provides) if self._retry is not None else set()
        for item in self:
            names.update(item.provides)
        return frozenset(names)

    @property
    @abc.abstractmethod
    def requires(self) -> frozenset[str]:
        """The names that the items and the retry need and that are not provided within the flow."""

    def _retry_names(self) -> tuple[set[str], set[str]]:
        """Return the names that the retry requires and those that it provides."""
        if self._retry is None:
            return set(), set()
        return set(self._retry.requires), set(self._retry.provides)

    def _check_items(self, items: Iterable[object]) -> None:
        """Raise NotAnAtom if an item is neither an atom nor a flow."""
        for item in items:
            if not isinstance(item, (Atom, Flow)) or not hasattr(item, "name"):
                raise exc.NotAnAtom(f"cannot add to flow '{self._name}': {_describe_invalid(item)}")

    def __str__(self) -> str:
        kind = f"{type(self).__module__}.{type(self).__qualname__}"
        return f'"{kind.removeprefix("stackl_flow.patterns.")}: {self.name}(len={len(self)})"'


Item = Atom | Flow


def check_item(item: object) -> None:
    """Check that an object can be run or be an item of a flow.

    Raises:
        NotAnAtom: it is neither a task nor a flow.
    """
    if isinstance(item, Retry) or not isinstance(item, (Atom, Flow)) or not hasattr(item, "name"):
        raise exc.NotAnAtom(f"not a task or flow: {_describe_invalid(item)}")


def _describe_invalid(item: object) -> str:
    """Return what an invalid item is and what to do about it, for error messages."""
    if isinstance(item, (Atom, Flow)) and not hasattr(item, "name"):
        kind = type(item).__name__
        return f"{kind}.__init__ did not run: call super().__init__(...) in the subclass"
    if isinstance(item, Retry):
        return f"{item!r} is a retry: pass it to the flow as retry="
    if isinstance(item, type):
        return f"{item!r} is a class: pass an instance, {item.__name__}(...)"
    if isinstance(item, (list, tuple)):
        return f"{item!r} is a collection: pass its items, add(*items)"
    return f"{item!r} is neither a task nor a flow: wrap a function in task.FunctorTask"


class InsertionOrderedFlow(Flow):
    """Base class of flows that keep their items in the order of addition."""

    def __init__(self, name: str, retry: Retry | None = None) -> None:
        super().__init__(name, retry)
        self._items: dict[Item, None] = {}

    def add(self, *items: Item) -> Self:
        """Append atoms and flows, and return this flow; items that it contains already are ignored.

        Raises:
            NotAnAtom: an item is neither an atom nor a flow; none is added.
        """
        self._check_items(items)
        self._items.update(dict.fromkeys(items))
        return self

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        """Iterate over the items in the order of addition."""
        return iter(self._items)
