"""What every flow is: a name, perhaps a retry, and items with links between them.

What the flows that keep their items in a list share: the items, in the order in which they were added.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Final, Self

from stackl_flow import exceptions as exc
from stackl_flow.atom import Atom
from stackl_flow.retry import Retry

LINK_INVARIANT: Final = "invariant"
LINK_MANUAL: Final = "manual"
LINK_RETRY: Final = "retry"
LINK_REASONS: Final = "reasons"
LINK_DECIDER: Final = "decider"
LINK_DECIDER_DEPTH: Final = "decider_depth"

Meta = dict[str, Any]


class Flow(abc.ABC):
    """A named structure of atoms and other flows.

    Args:
        name: what it is called; need not be unique.
        retry: decides what happens when an atom in it fails.

    Raises:
        NotAnAtom: the name is an atom, or the retry is none.
    """

    #: How the items stand to each other: one after the other ("total"), as linked ("partial"), or
    #: not at all ("none"). Whoever looks for a provider is spared a search by it.
    ordering: ClassVar[str] = "partial"

    def __init__(self, name: str, retry: Retry | None = None) -> None:
        if isinstance(name, (Atom, Flow)):
            kind = type(self).__name__
            raise exc.NotAnAtom(f"a {kind} begins with its name, not with {name!r}: {kind}('name').add(...)")
        if retry is not None and not isinstance(retry, Atom):  # a task is refused when the flow is compiled
            raise exc.NotAnAtom(f"flow '{name}' cannot take {retry!r} for a retry: give one such as Times(3)")
        self._name = str(name)
        self._retry = retry
        if retry is not None and retry.name is None:
            retry.name = f"{self._name}_retry"

    @property
    def name(self) -> str:
        """What the flow is called."""
        return self._name

    @property
    def retry(self) -> Retry | None:
        """What decides when an atom of this flow fails, or None."""
        return self._retry

    @abc.abstractmethod
    def add(self, *items: Item) -> Self:
        """Add items; one that is there already is not added again.

        Args:
            items: atoms and flows.

        Returns:
            This flow.
        """

    @abc.abstractmethod
    def __len__(self) -> int:
        """Count the items."""

    @abc.abstractmethod
    def __iter__(self) -> Iterator[Item]:
        """Go over the items in an order in which they could run."""

    @abc.abstractmethod
    def iter_links(self) -> Iterator[tuple[Item, Item, Meta]]:
        """Go over the links: from, to, and what is known of the link."""

    def iter_nodes(self) -> Iterator[tuple[Item, Meta]]:
        """Go over the items, each with what is known of it."""
        for item in self:
            yield item, {}

    @property
    def provides(self) -> frozenset[str]:
        """The names that something in this flow provides."""
        names: set[str] = set(self._retry.provides) if self._retry is not None else set()
        for item in self:
            names.update(item.provides)
        return frozenset(names)

    @property
    @abc.abstractmethod
    def requires(self) -> frozenset[str]:
        """The names that something in this flow needs from outside."""

    def _retry_names(self) -> tuple[set[str], set[str]]:
        """Return what the retry needs and what it provides."""
        if self._retry is None:
            return set(), set()
        return set(self._retry.requires), set(self._retry.provides)

    def _check_items(self, items: Iterable[object]) -> None:
        """Refuse what cannot be part of a flow.

        Args:
            items: what somebody wants to add.

        Raises:
            NotAnAtom: one of them is neither an atom nor a flow.
        """
        for item in items:
            if not isinstance(item, (Atom, Flow)) or not hasattr(item, "name"):
                raise exc.NotAnAtom(f"flow '{self._name}' cannot take {remedy_for(item)}")

    def __str__(self) -> str:
        """Say pattern, name and length."""
        kind = f"{type(self).__module__}.{type(self).__qualname__}"
        return f'"{kind.removeprefix("stackl_flow.patterns.")}: {self.name}(len={len(self)})"'


Item = Atom | Flow


def check_item(item: object) -> None:
    """Refuse what cannot be run as a flow, nor be part of one.

    Args:
        item: what somebody wants to run.

    Raises:
        NotAnAtom: it is neither a task nor a flow.
    """
    if isinstance(item, Retry) or not isinstance(item, (Atom, Flow)) or not hasattr(item, "name"):
        raise exc.NotAnAtom(f"can not stand in a flow: {remedy_for(item)}")


def remedy_for(item: object) -> str:
    """Say of something that cannot be part of a flow what it is, and what to do about it.

    Args:
        item: what somebody wants to run.

    Returns:
        The end of a message.
    """
    if isinstance(item, (Atom, Flow)) and not hasattr(item, "name"):
        kind = type(item).__name__
        return f"a {kind} that was never set up: let {kind}.__init__ call super().__init__(...)"
    if isinstance(item, Retry):
        return f"{item!r}: a retry stands at the head of a flow, give it as retry="
    if isinstance(item, type):
        return f"{item!r}: that is the class itself; give an instance: {item.__name__}(...)"
    if isinstance(item, (list, tuple)):
        return f"{item!r}: that is several; give each by itself, as in add(*items)"
    return f"{item!r}: give a task.Task, a flow, or wrap a function in task.FunctorTask"


class InsertionOrderedFlow(Flow):
    """A flow that keeps its items in the order in which they were added.

    Args:
        name: what it is called.
        retry: decides what happens when an atom in it fails.
    """

    def __init__(self, name: str, retry: Retry | None = None) -> None:
        super().__init__(name, retry)
        self._items: dict[Item, None] = {}

    def add(self, *items: Item) -> Self:
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

    def __iter__(self) -> Iterator[Item]:
        """Go over the items in the order in which they were added."""
        return iter(self._items)
