"""Retry policies: atoms that decide what happens when an atom of their flow fails.

A flow takes one as ``retry=``: `Times`, `ForEach`, `ParameterizedForEach`, `AlwaysRevert`,
`AlwaysRevertAll`, or a subclass of `Retry`.
"""

from __future__ import annotations

import abc
import enum
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from stackl_flow import atom
from stackl_flow import exceptions as exc
from stackl_flow.failure import Failure

EXECUTE_REVERT_HISTORY: Final = "history"
"""The argument with the `History` of a retry."""
REVERT_FLOW_FAILURES: Final = "flow_failures"
"""The argument of ``revert`` with the failures of the flow."""

Attempt = tuple[Any, dict[str, Failure]]


class Decision(enum.StrEnum):
    """The decision of a retry policy."""

    RETRY = "RETRY"
    """Revert the flow of the retry, then run it again."""

    REVERT = "REVERT"
    """Revert the flow of the retry, then let the retry of the enclosing flow decide."""

    REVERT_ALL = "REVERT_ALL"
    """Revert everything, without asking the retries of enclosing flows."""


RETRY: Final = Decision.RETRY
REVERT: Final = Decision.REVERT
REVERT_ALL: Final = Decision.REVERT_ALL


class History:
    """The attempts of a retry, oldest first.

    An attempt is a pair of the value that the retry provided and the failures that followed, as a dict of
    atom name to `Failure`.

    Args:
        contents: the attempts.
        failure: the failure of the retry itself, if it failed.
    """

    def __init__(self, contents: Sequence[Attempt], failure: Failure | None = None) -> None:
        self._contents = contents
        self._failure = failure

    @property
    def failure(self) -> Failure | None:
        """The failure of the retry itself, or None."""
        return self._failure

    def outcomes_iter(self, index: int | None = None) -> Iterator[tuple[str, Failure]]:
        """Iterate over pairs of atom name and failure.

        Args:
            index: the attempt; all attempts if left out.
        """
        attempts = self._contents if index is None else [self._contents[index]]
        for _, outcomes in attempts:
            yield from outcomes.items()

    def provided_iter(self) -> Iterator[Any]:
        """Iterate over the provided values, oldest first."""
        for provided, _ in self._contents:
            yield provided

    def caused_by(
        self, exception_cls: type[BaseException], index: int | None = None, include_retry: bool = False
    ) -> bool:
        """Return whether any failure is of an exception class.

        Args:
            exception_cls: the class; its subclasses match, too.
            index: the attempt; all attempts if left out.
            include_retry: include the failure of the retry itself.
        """
        if any(failure.check(exception_cls) for _, failure in self.outcomes_iter(index)):
            return True
        own = self._failure if include_retry else None
        return own is not None and bool(own.check(exception_cls))

    def __len__(self) -> int:
        return len(self._contents)

    def __getitem__(self, index: int) -> Attempt:
        return self._contents[index]

    def __iter__(self) -> Iterator[Attempt]:
        return iter(self._contents)


class Retry(atom.Atom):
    """Base class of retry policies.

    A retry executes before the other atoms of its flow, once per attempt, and decides in ``on_failure``
    when one of them fails. ``execute``, ``revert`` and ``on_failure`` receive ``history`` besides their
    inputs.

    Args:
        name: the name; defaults to the name of the flow plus ``_retry``.
        provides: names of the result of ``execute``, see `Atom`.
        requires: inputs besides those in the signatures.
        auto_extract: read the inputs from the signatures.
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
        atom.check_body(self.on_failure, f"'on_failure' of retry '{name or type(self).__qualname__}'")

    @abc.abstractmethod
    def on_failure(self, history: History, *args: Any, **kwargs: Any) -> Decision:
        """Decide what happens after a failure.

        Args:
            history: all attempts, including the one that just failed.
            args: never passed.
            kwargs: the inputs of ``execute``.
        """


class AlwaysRevert(Retry):
    """Never retry; revert the flow, then let the retry of the enclosing flow decide."""

    def execute(self, *args: Any, **kwargs: Any) -> None:
        """Return None."""

    def on_failure(self, *args: Any, **kwargs: Any) -> Decision:
        """Return `Decision.REVERT`."""
        del args, kwargs
        return REVERT


class AlwaysRevertAll(Retry):
    """Never retry; revert everything."""

    def execute(self, *args: Any, **kwargs: Any) -> None:
        """Return None."""

    def on_failure(self, *args: Any, **kwargs: Any) -> Decision:
        """Return `Decision.REVERT_ALL`."""
        del args, kwargs
        return REVERT_ALL


class Times(Retry):
    """Retry up to a number of times; provides the number of the attempt, from 1.

    Args:
        attempts: the maximum number of attempts, including the first.
        name: the name; defaults to the name of the flow plus ``_retry``.
        provides: the name of the number of the attempt.
        requires: inputs besides those in the signatures.
        auto_extract: read the inputs from the signatures.
        rebind: names to look up instead of the argument names.
        revert_all: after the last attempt, revert everything instead of only the flow.
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
            raise TypeError(f"attempts must be an integer, not {attempts!r}")
        self._attempts = attempts
        self._revert_action = REVERT_ALL if revert_all else REVERT

    def on_failure(self, history: History, *args: Any, **kwargs: Any) -> Decision:
        """Return `Decision.RETRY` while attempts are left."""
        del args, kwargs
        return RETRY if len(history) < self._attempts else self._revert_action

    def execute(self, history: History, *args: Any, **kwargs: Any) -> int:
        """Return the number of the attempt."""
        del args, kwargs
        return len(history) + 1


def unused_values(values: Iterable[Any], history: History) -> list[Any]:
    """Return the elements that no attempt has used yet, in order; duplicates count separately."""
    unused = list(values)
    for value in history.provided_iter():
        if value in unused:
            unused.remove(value)
    return unused


def next_value(retry_name: str | None, values: Iterable[Any], history: History) -> Any:
    """Return the first element that no attempt has used yet.

    Raises:
        NotFound: all elements are used.
    """
    unused = unused_values(values, history)
    if not unused:
        raise exc.NotFound(f"No elements left in the collection of retry '{retry_name}': all were tried")
    return unused[0]


class ForEach(Retry):
    """Retry with each element of a fixed collection; provides the element.

    Args:
        values: the collection; it is copied.
        name: the name; defaults to the name of the flow plus ``_retry``.
        provides: the name of the element of the current attempt.
        requires: inputs besides those in the signatures.
        auto_extract: read the inputs from the signatures.
        rebind: names to look up instead of the argument names.
        revert_all: after the last element, revert everything instead of only the flow.
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
        """Return `Decision.RETRY` while elements are left."""
        del args, kwargs
        return RETRY if unused_values(self._values, history) else self._revert_action

    def execute(self, history: History, *args: Any, **kwargs: Any) -> Any:
        """Return the next element."""
        del args, kwargs
        return next_value(self.name, self._values, history)


class ParameterizedForEach(Retry):
    """Retry with each element of the collection in the input ``values``; provides the element.

    Args:
        name: the name; defaults to the name of the flow plus ``_retry``.
        provides: the name of the element of the current attempt.
        requires: inputs besides those in the signatures.
        auto_extract: read the inputs from the signatures.
        rebind: names to look up instead of the argument names.
        revert_all: after the last element, revert everything instead of only the flow.
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

    def on_failure(self, values: Iterable[Any], history: History, *args: Any, **kwargs: Any) -> Decision:  # type: ignore[override]  # passed by keyword
        """Return `Decision.RETRY` while elements are left."""
        del args, kwargs
        return RETRY if unused_values(values, history) else self._revert_action

    def execute(self, values: Iterable[Any], history: History, *args: Any, **kwargs: Any) -> Any:
        """Return the next element."""
        del args, kwargs
        return next_value(self.name, values, history)
