"""Retries: atoms that say what is to be done when an atom of their flow has failed."""

from __future__ import annotations

import abc
import enum
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from stackl_flow import atom
from stackl_flow import exceptions as exc
from stackl_flow.failure import Failure

EXECUTE_REVERT_HISTORY: Final = "history"
REVERT_FLOW_FAILURES: Final = "flow_failures"

Attempt = tuple[Any, dict[str, Failure]]


class Decision(enum.StrEnum):
    """What a retry can decide."""

    RETRY = "RETRY"
    """Undo the retry's flow and run it once more."""

    REVERT = "REVERT"
    """Undo the retry's flow, unless an enclosing retry knows better."""

    REVERT_ALL = "REVERT_ALL"
    """Undo everything, whatever the enclosing retries may say."""


RETRY: Final = Decision.RETRY
REVERT: Final = Decision.REVERT
REVERT_ALL: Final = Decision.REVERT_ALL


class History:
    """What a retry has tried: pairs of the value it provided and the failures that came of it.

    Args:
        contents: the pairs, oldest first.
        failure: the retry's own failure, if it failed itself.
    """

    def __init__(self, contents: Sequence[Attempt], failure: Failure | None = None) -> None:
        self._contents = contents
        self._failure = failure

    @property
    def failure(self) -> Failure | None:
        """The retry's own failure, or None."""
        return self._failure

    def outcomes_iter(self, index: int | None = None) -> Iterator[tuple[str, Failure]]:
        """Go over failures by the name of the atom that failed.

        Args:
            index: of one attempt only; of all if left out.

        Returns:
            Pairs of name and failure.
        """
        chosen = self._contents if index is None else [self._contents[index]]
        for _, outcomes in chosen:
            yield from outcomes.items()

    def provided_iter(self) -> Iterator[Any]:
        """Go over the values that were provided, oldest first."""
        for provided, _ in self._contents:
            yield provided

    def caused_by(
        self, exception_cls: type[BaseException], index: int | None = None, include_retry: bool = False
    ) -> bool:
        """Say whether a failure was of that class.

        Args:
            exception_cls: the class.
            index: of one attempt only; of all if left out.
            include_retry: look at the retry's own failure too.

        Returns:
            True when one was.
        """
        if any(failure.check(exception_cls) for _, failure in self.outcomes_iter(index)):
            return True
        own = self._failure if include_retry else None
        return own is not None and bool(own.check(exception_cls))

    def __len__(self) -> int:
        """Count the attempts."""
        return len(self._contents)

    def __getitem__(self, index: int) -> Attempt:
        """Return one attempt."""
        return self._contents[index]

    def __iter__(self) -> Iterator[Attempt]:
        """Go over the attempts, oldest first."""
        return iter(self._contents)


class Retry(atom.Atom):
    """An atom that runs before its flow's atoms and decides when one of them has failed.

    ``execute``, ``revert`` and ``on_failure`` are handed ``history`` besides what they ask for.

    Args:
        name: what it is called; the flow's name and ``_retry`` if left out.
        provides: see ``Atom``, as for all that follow.
        requires: names handed over besides those in the signature.
        auto_extract: read what is required off the signatures.
        rebind: names to look up instead of the argument names.
    """

    def __init__(
        self,
        name: str | None = None,
        provides: atom.Provides = None,
        requires: atom.Requires = None,
        auto_extract: bool = True,
        rebind: atom.Rebind = None,
    ) -> None:
        super().__init__(name, provides, requires, auto_extract, rebind, ignore_list=[EXECUTE_REVERT_HISTORY])

    @abc.abstractmethod
    def on_failure(self, history: History, *args: Any, **kwargs: Any) -> Decision:
        """Decide what is to be done.

        Args:
            history: what was tried, the failures just met among it.
            args: nothing; here for signatures that take it.
            kwargs: what ``execute`` is handed too.

        Returns:
            One of ``Decision``.
        """


class AlwaysRevert(Retry):
    """A retry that never retries: its flow is undone."""

    def execute(self, *args: Any, **kwargs: Any) -> None:
        """Provide nothing."""

    def on_failure(self, *args: Any, **kwargs: Any) -> Decision:
        """Decide to undo the flow."""
        del args, kwargs
        return REVERT


class AlwaysRevertAll(Retry):
    """A retry that never retries: everything is undone."""

    def execute(self, *args: Any, **kwargs: Any) -> None:
        """Provide nothing."""

    def on_failure(self, *args: Any, **kwargs: Any) -> Decision:
        """Decide to undo everything."""
        del args, kwargs
        return REVERT_ALL


class Times(Retry):
    """A retry that has its flow run a number of times, and provides the number of the attempt.

    Args:
        attempts: how often the flow runs in all, the first time included.
        name: see ``Retry``, as for all that follow.
        provides: the name for the number of the attempt, from 1.
        requires: names handed over besides those in the signature.
        auto_extract: read what is required off the signatures.
        rebind: names to look up instead of the argument names.
        revert_all: undo everything, not only the flow, when the attempts are used up.
    """

    def __init__(
        self,
        attempts: int = 1,
        name: str | None = None,
        provides: atom.Provides = None,
        requires: atom.Requires = None,
        auto_extract: bool = True,
        rebind: atom.Rebind = None,
        revert_all: bool = False,
    ) -> None:
        super().__init__(name, provides, requires, auto_extract, rebind)
        if not isinstance(attempts, int):
            raise TypeError(f"Times takes how often to try, such as 3, not {attempts!r}")
        self._attempts = attempts
        self._revert_action = REVERT_ALL if revert_all else REVERT

    def on_failure(self, history: History, *args: Any, **kwargs: Any) -> Decision:
        """Decide to retry while attempts are left."""
        del args, kwargs
        return RETRY if len(history) < self._attempts else self._revert_action

    def execute(self, history: History, *args: Any, **kwargs: Any) -> int:
        """Provide the number of the attempt."""
        del args, kwargs
        return len(history) + 1


def unused_values(values: Iterable[Any], history: History) -> list[Any]:
    """Return the elements that no attempt has used yet, each as often as it stands in the collection.

    Args:
        values: the collection.
        history: the attempts.

    Returns:
        What is left of it, in its order.
    """
    left = list(values)
    for used in history.provided_iter():
        if used in left:
            left.remove(used)
    return left


def next_value(who: str | None, values: Iterable[Any], history: History) -> Any:
    """Return the first element that no attempt has used yet.

    Args:
        who: the retry's name, for the message.
        values: the collection.
        history: the attempts.

    Returns:
        The element.

    Raises:
        NotFound: none is left.
    """
    left = unused_values(values, history)
    if not left:
        raise exc.NotFound(
            f"No elements left in collection of iterable retry controller {who}: every one was tried"
        )
    return left[0]


class ForEach(Retry):
    """A retry that provides the next element of a fixed collection at each attempt.

    Args:
        values: the collection.
        name: see ``Retry``, as for all that follow.
        provides: the name for the element of this attempt.
        requires: names handed over besides those in the signature.
        auto_extract: read what is required off the signatures.
        rebind: names to look up instead of the argument names.
        revert_all: undo everything, not only the flow, when the elements are used up.
    """

    def __init__(
        self,
        values: Iterable[Any],
        name: str | None = None,
        provides: atom.Provides = None,
        requires: atom.Requires = None,
        auto_extract: bool = True,
        rebind: atom.Rebind = None,
        revert_all: bool = False,
    ) -> None:
        super().__init__(name, provides, requires, auto_extract, rebind)
        self._values = tuple(values)
        self._revert_action = REVERT_ALL if revert_all else REVERT

    def on_failure(self, history: History, *args: Any, **kwargs: Any) -> Decision:
        """Decide to retry while elements are left."""
        del args, kwargs
        return RETRY if unused_values(self._values, history) else self._revert_action

    def execute(self, history: History, *args: Any, **kwargs: Any) -> Any:
        """Provide the next element."""
        del args, kwargs
        return next_value(self.name, self._values, history)


class ParameterizedForEach(Retry):
    """A retry that provides the next element of a collection which the flow gives as ``values``.

    Args:
        name: see ``Retry``, as for all that follow.
        provides: the name for the element of this attempt.
        requires: names handed over besides those in the signature.
        auto_extract: read what is required off the signatures.
        rebind: names to look up instead of the argument names.
        revert_all: undo everything, not only the flow, when the elements are used up.
    """

    def __init__(
        self,
        name: str | None = None,
        provides: atom.Provides = None,
        requires: atom.Requires = None,
        auto_extract: bool = True,
        rebind: atom.Rebind = None,
        revert_all: bool = False,
    ) -> None:
        super().__init__(name, provides, requires, auto_extract, rebind)
        self._revert_action = REVERT_ALL if revert_all else REVERT

    def on_failure(self, values: Iterable[Any], history: History, *args: Any, **kwargs: Any) -> Decision:  # type: ignore[override]  # handed over by name
        """Decide to retry while elements are left."""
        del args, kwargs
        return RETRY if unused_values(values, history) else self._revert_action

    def execute(self, values: Iterable[Any], history: History, *args: Any, **kwargs: Any) -> Any:
        """Provide the next element."""
        del args, kwargs
        return next_value(self.name, values, history)
