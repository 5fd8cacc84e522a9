"""Tasks: atoms that do one piece of work and can undo it."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from stackl_flow import atom, redaction
from stackl_flow.notifier import RestrictedNotifier

_LOG = redaction.get_logger(__name__)

EVENT_UPDATE_PROGRESS: Final = "update_progress"
REVERT_RESULT: Final = "result"
REVERT_FLOW_FAILURES: Final = "flow_failures"

ProgressCallback = Callable[[float, dict[str, Any]], None]


class _TaskNotifier(RestrictedNotifier):
    """Tells of a task; progress that the task tells by hand reaches the engine, too."""

    task: Task | None = None

    def notify(self, event_type: str, details: Mapping[str, Any] | None) -> None:
        """Call those who registered, after the engine that runs the task.

        Args:
            event_type: what happened.
            details: what is known of it.
        """
        sink = self.task.progress_callback if self.task is not None else None
        if sink is not None and event_type == EVENT_UPDATE_PROGRESS and details and "progress" in details:
            sink(details["progress"], {name: details[name] for name in details if name != "progress"})
        super().notify(event_type, details)


class Task(atom.Atom):
    """A piece of work: ``execute`` does it, ``revert`` undoes it.

    Args:
        name: what it is called; the full class name if left out.
        provides: see ``Atom``, as for all that follow.
        requires: names handed over besides those in the signature.
        auto_extract: read what is required off the signatures.
        rebind: names to look up instead of the argument names.
        inject: values that only this task sees.
        ignore_list: arguments of ``execute`` that are not to be looked up.
        revert_rebind: ``rebind`` for ``revert``.
        revert_requires: ``requires`` for ``revert``.
    """

    TASK_EVENTS: Sequence[str] = (EVENT_UPDATE_PROGRESS,)

    _notifier: _TaskNotifier | None = None
    # Where the engine wants this task's progress while it runs; set for the length of one call.
    progress_callback: ProgressCallback | None = None
    name: str

    def __init__(
        self,
        name: str | None = None,
        provides: atom.Provides = None,
        requires: atom.Requires = None,
        auto_extract: bool = True,
        rebind: atom.Rebind = None,
        inject: Mapping[str, Any] | None = None,
        ignore_list: Sequence[str] | None = None,
        revert_rebind: atom.Rebind = None,
        revert_requires: atom.Requires = None,
    ) -> None:
        super().__init__(
            atom.class_name(self) if name is None else name,
            provides, requires, auto_extract, rebind, inject, ignore_list, revert_rebind,
            revert_requires,
        )  # fmt: skip

    @property
    def notifier(self) -> RestrictedNotifier:
        """Where to register for what the task itself tells, such as its progress."""
        if self._notifier is None:
            self._notifier = _TaskNotifier(self.TASK_EVENTS)
            self._notifier.task = self
        return self._notifier

    @property
    def has_listeners(self) -> bool:
        """Whether anyone registered with this task's notifier."""
        return bool(self._notifier)

    @property
    def has_progress_observers(self) -> bool:
        """Whether others than the engine are told of progress: listeners, or a method of the task's own."""
        own = getattr(self.update_progress, "__func__", None) is not Task.update_progress
        return own or bool(self._notifier)

    def copy(self, retain_listeners: bool = True) -> Task:
        """Make a task like this one.

        Args:
            retain_listeners: keep those registered with the notifier.

        Returns:
            The new task.
        """
        twin = copy.copy(self)
        twin._notifier = None  # noqa: SLF001  a twin of its own class
        if self._notifier is not None and retain_listeners:
            twin._notifier = self._notifier.copy()  # noqa: SLF001  as above
            twin._notifier.task = twin  # noqa: SLF001  as above
        return twin

    def update_progress(self, progress: float, **details: Any) -> None:
        """Tell how far the work has come; it is stored and told to listeners.

        Args:
            progress: from 0.0 to 1.0; what lies outside is clamped, with a warning.
            details: more to store beside it, of JSON types.
        """
        clamped = min(1.0, max(0.0, progress))
        if clamped != progress:
            _LOG.warning(
                "Progress value must be greater or equal to 0.0 or less than or equal to 1.0"
                " instead of being '%s'", progress,
            )  # fmt: skip
        if self.progress_callback is not None:
            self.progress_callback(clamped, details)
        if self._notifier is not None:  # a task copied by other means shares it with the one it was made for
            super(_TaskNotifier, self._notifier).notify(
                EVENT_UPDATE_PROGRESS, {"progress": clamped, **details}
            )


def _callable_name(function: Callable[..., Any]) -> str:
    try:
        return f"{function.__module__}.{function.__qualname__}"
    except AttributeError:
        return atom.class_name(function)


def _check_callable(function: object, what: str) -> None:
    if not callable(function):
        raise ValueError(  # noqa: TRY004  TaskFlow raises this
            f"Function to use for {what} must be callable, not {function!r}"
        )


class FunctorTask(Task):
    """A task made of a function, and of another one that undoes it.

    Args:
        execute: does the work.
        name: the full name of ``execute`` if left out.
        provides: see ``Atom``, as for all that follow.
        requires: names handed over besides those in the signature.
        auto_extract: read what is required off the signatures.
        rebind: names to look up instead of the argument names.
        revert: undoes the work.
        version: kept beside what is stored.
        inject: values that only this task sees.

    Raises:
        ValueError: ``execute`` or ``revert`` is not callable, or cannot take the names given.
    """

    def __init__(
        self,
        execute: Callable[..., Any],
        name: str | None = None,
        provides: atom.Provides = None,
        requires: atom.Requires = None,
        auto_extract: bool = True,
        rebind: atom.Rebind = None,
        revert: Callable[..., Any] | None = None,
        version: tuple[int, int] | None = None,
        inject: Mapping[str, Any] | None = None,
    ) -> None:
        _check_callable(execute, "executing")
        if revert is not None:
            _check_callable(revert, "reverting")
        self._execute = execute
        self._revert = revert
        super().__init__(_callable_name(execute) if name is None else name, provides, inject=inject)
        if version is not None:
            self.version = version
        self.execute_bindings = atom.bind_arguments(self.name, execute, requires, rebind, auto_extract)
        self.revert_bindings = self.execute_bindings
        if revert is not None:
            extras = (REVERT_RESULT, REVERT_FLOW_FAILURES)
            self.revert_bindings = atom.bind_arguments(
                self.name, revert, requires, rebind, auto_extract, extras
            )
        self._extras = _extras_taken(revert)

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function that does the work."""
        return self._execute(*args, **kwargs)

    def revert(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function that undoes the work, if there is one."""
        if self._revert is None:
            return None
        for extra in (REVERT_RESULT, REVERT_FLOW_FAILURES):
            if extra not in self._extras:
                kwargs.pop(extra, None)
        return self._revert(*args, **kwargs)


# One for all: an empty frozenset is 216 bytes, and a flow may hold a million tasks.
_NO_EXTRAS: Final[frozenset[str]] = frozenset()


def _extras_taken(revert: Callable[..., Any] | None) -> frozenset[str]:
    """Say which of ``result`` and ``flow_failures`` a revert function can be handed."""
    if revert is None:
        return _NO_EXTRAS
    read = atom.signature_of(revert)
    extras = frozenset((REVERT_RESULT, REVERT_FLOW_FAILURES))
    return extras if read.accepts_any else extras & read.names


def _check_functor(functor: Callable[..., Any], requires: object, word: str, arity: int) -> tuple[str, ...]:
    """Check what a map or reduce task is made of; returns the names that it is to get."""
    _check_callable(functor, word)
    read = atom.signature_of(functor)
    taken = len(read.required) + len(read.optional)
    if taken != arity:
        raise ValueError(
            f"{taken} arguments were provided. {word.capitalize()} functor must take exactly {arity}"
            f" argument(s)."
        )
    if isinstance(requires, str) or not isinstance(requires, Iterable):
        raise TypeError(f"{type(requires)} type was provided for requires. Requires must be an iterable.")
    names = tuple(requires)
    if len(names) < arity:
        raise ValueError(
            f"{len(names)} elements were provided. Requires must have at least {arity} element(s)."
        )
    return names


class ReduceFunctorTask(Task):
    """A task that folds the values of several names into one, as ``functools.reduce`` does.

    Args:
        functor: takes two values and returns one.
        requires: at least two names.
        name: the full name of ``functor`` if left out.
        provides: see ``Atom``, as for all that follow.
        auto_extract: read what is required off the signatures.
        rebind: names to look up instead of the argument names.
        inject: values that only this task sees.

    Raises:
        ValueError: ``functor`` does not take two values, or too few names are given.
        TypeError: ``requires`` is not a list of names.
    """

    def __init__(
        self,
        functor: Callable[..., Any],
        requires: Iterable[str],
        name: str | None = None,
        provides: atom.Provides = None,
        auto_extract: bool = True,
        rebind: atom.Rebind = None,
        inject: Mapping[str, Any] | None = None,
    ) -> None:
        names = _check_functor(functor, requires, "reduce", 2)
        self._functor = functor
        own = _callable_name(functor) if name is None else name
        super().__init__(own, provides, names, auto_extract, rebind, inject)

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Fold the values in the order of ``requires``."""
        del args
        return functools.reduce(
            self._functor, [kwargs[argument] for argument, _ in self.execute_bindings.required]
        )


class MapFunctorTask(Task):
    """A task that calls a function on the value of each of several names.

    Args:
        functor: takes one value.
        requires: the names.
        name: the full name of ``functor`` if left out.
        provides: see ``Atom``, as for all that follow; the results come as a list.
        auto_extract: read what is required off the signatures.
        rebind: names to look up instead of the argument names.
        inject: values that only this task sees.

    Raises:
        ValueError: ``functor`` does not take one value.
        TypeError: ``requires`` is not a list of names.
    """

    def __init__(
        self,
        functor: Callable[..., Any],
        requires: Iterable[str],
        name: str | None = None,
        provides: atom.Provides = None,
        auto_extract: bool = True,
        rebind: atom.Rebind = None,
        inject: Mapping[str, Any] | None = None,
    ) -> None:
        names = _check_functor(functor, requires, "map", 1)
        self._functor = functor
        own = _callable_name(functor) if name is None else name
        super().__init__(own, provides, names, auto_extract, rebind, inject)

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function on each value, in the order of ``requires``."""
        del args
        return [self._functor(kwargs[argument]) for argument, _ in self.execute_bindings.required]
