"""Tasks: atoms that do one piece of work and can undo it.

Write a task as a subclass of `Task`, or build one from functions: `FunctorTask`, `MapFunctorTask`,
`ReduceFunctorTask`, or the decorator in `stackl_flow.decorators`.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from stackl_flow import atom, redaction
from stackl_flow.notifier import RestrictedNotifier
from stackl_flow.task_context import CURRENT

_LOG = redaction.get_logger(__name__)

EVENT_UPDATE_PROGRESS: Final = "update_progress"
"""The event of a task's notifier for progress reports."""
REVERT_RESULT: Final = "result"
"""The argument of ``revert`` with the result or failure of ``execute``."""
REVERT_FLOW_FAILURES: Final = "flow_failures"
"""The argument of ``revert`` with the failures of the flow."""

ProgressCallback = Callable[[float, dict[str, Any]], None]


class _TaskNotifier(RestrictedNotifier):
    """The notifier of a task; it also forwards progress notified by hand to the engine."""

    task: Task | None = None

    def notify(self, event_type: str, details: Mapping[str, Any] | None) -> None:
        """Pass progress to the engine that runs the task, then call the callbacks."""
        report = None if self.task is None else self.task.progress_reporter()
        if report is not None and event_type == EVENT_UPDATE_PROGRESS and details and "progress" in details:
            rest = {name: details[name] for name in details if name != "progress"}
            report(details["progress"], rest)
        super().notify(event_type, details)


class Task(atom.Atom):
    """A unit of work: ``execute`` does it, ``revert`` undoes it.

    Args:
        name: the name, unique within a flow; defaults to the full name of the class.
        provides: names of the result, see `Atom`.
        requires: inputs besides those in the signatures.
        auto_extract: read the inputs from the signatures.
        rebind: names to look up instead of the argument names.
        inject: values for this task only.
        ignore_list: arguments of ``execute`` that are not looked up.
        revert_rebind: like ``rebind``, for ``revert``.
        revert_requires: like ``requires``, for ``revert``.

    Attributes:
        TASK_EVENTS: the events of the task's notifier; a subclass may add its own.
    """

    TASK_EVENTS: Sequence[str] = (EVENT_UPDATE_PROGRESS,)

    _notifier: _TaskNotifier | None = None
    # Reports progress to the engine; set while the task runs, for threads that the task starts.
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
        """The notifier for events of the task itself, such as its progress."""
        if self._notifier is None:
            self._notifier = _TaskNotifier(self.TASK_EVENTS)
            self._notifier.task = self
        return self._notifier

    @property
    def has_listeners(self) -> bool:
        """Whether callbacks are registered with this task's notifier."""
        return bool(self._notifier)

    @property
    def has_progress_observers(self) -> bool:
        """Whether progress goes to callbacks or to an overridden ``update_progress``."""
        own = getattr(self.update_progress, "__func__", None) is not Task.update_progress
        return own or bool(self._notifier)

    def copy(self, retain_listeners: bool = True) -> Task:
        """Return a copy of this task.

        Args:
            retain_listeners: copy the registered callbacks, too.
        """
        clone = copy.copy(self)
        clone._notifier = None  # noqa: SLF001  an instance of its own class
        if self._notifier is not None and retain_listeners:
            clone._notifier = self._notifier.copy()  # noqa: SLF001  as above
            clone._notifier.task = clone  # noqa: SLF001  as above
        return clone

    def progress_reporter(self) -> ProgressCallback | None:
        """Return what reports progress to the engine: for the call of this thread, or else for the latest."""
        call = CURRENT.get(None)
        return call.report_progress if call is not None and call.is_for(self) else self.progress_callback

    def update_progress(self, progress: float, **details: Any) -> None:
        """Report progress from within ``execute`` or ``revert``; it is stored and passed to listeners.

        Each report costs about as much as a task, so report in coarse steps.

        Args:
            progress: from 0.0 to 1.0; values outside are clamped, with a warning.
            details: further values to store with it, of JSON types.
        """
        clamped = min(1.0, max(0.0, progress))
        if clamped != progress:
            _LOG.warning(
                "Progress must be between 0.0 and 1.0, not %s: clamped", progress,
            )  # fmt: skip
        report = self.progress_reporter()
        if report is not None:
            report(clamped, details)
        if self._notifier is not None:  # copy.copy() shares it, so its task may be another one
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
    """A task that calls one function to do the work and, optionally, another to undo it.

    Args:
        execute: does the work.
        name: the name; defaults to the full name of ``execute``.
        provides: names of the result, see `Atom`.
        requires: inputs besides those in the signatures.
        auto_extract: read the inputs from the signatures.
        rebind: names to look up instead of the argument names.
        revert: undoes the work.
        version: major and minor version, stored with the task.
        inject: values for this task only.

    Raises:
        ValueError: ``execute`` or ``revert`` is not callable or does not accept the names.
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
        self._extras = _accepted_extras(revert)

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function passed as ``execute``."""
        return self._execute(*args, **kwargs)

    def revert(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function passed as ``revert``, if any."""
        if self._revert is None:
            return None
        for extra in (REVERT_RESULT, REVERT_FLOW_FAILURES):
            if extra not in self._extras:
                kwargs.pop(extra, None)
        return self._revert(*args, **kwargs)


# Shared: an empty frozenset takes 216 bytes, and a flow may contain a million tasks.
_NO_EXTRAS: Final[frozenset[str]] = frozenset()


def _accepted_extras(revert: Callable[..., Any] | None) -> frozenset[str]:
    """Return which of ``result`` and ``flow_failures`` a revert function accepts."""
    if revert is None:
        return _NO_EXTRAS
    signature = atom.signature_of(revert)
    extras = frozenset((REVERT_RESULT, REVERT_FLOW_FAILURES))
    return extras if signature.accepts_any else extras & signature.names


def _check_functor(functor: Callable[..., Any], requires: object, kind: str, arity: int) -> tuple[str, ...]:
    """Check the arguments of a map or reduce task, and return the required names."""
    _check_callable(functor, kind)
    atom.check_body(functor, f"{kind} functor {functor!r}")
    signature = atom.check_signature(functor, f"{kind} functor")
    count = len(signature.required) + len(signature.optional)
    if count != arity:
        raise ValueError(f"{kind} functor must take exactly {arity} argument(s), not {count}")
    if isinstance(requires, str) or not isinstance(requires, Iterable):
        raise TypeError(f"requires of a {kind} task must be an iterable of names, not {requires!r}")
    names = tuple(requires)
    if len(names) < arity:
        raise ValueError(f"requires of a {kind} task must have at least {arity} element(s), not {len(names)}")
    return names


class ReduceFunctorTask(Task):
    """A task that reduces the values of several names to one, like ``functools.reduce``.

    Args:
        functor: takes two values and returns one.
        requires: the names, at least two.
        name: the name; defaults to the full name of ``functor``.
        provides: names of the result, see `Atom`.
        auto_extract: read the inputs from the signatures.
        rebind: names to look up instead of the argument names.
        inject: values for this task only.

    Raises:
        ValueError: ``functor`` does not take two values, or ``requires`` has fewer than two names.
        TypeError: ``requires`` is not an iterable of names.
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
        task_name = _callable_name(functor) if name is None else name
        super().__init__(task_name, provides, names, auto_extract, rebind, inject)

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Reduce the values in the order of ``requires``."""
        del args
        return functools.reduce(
            self._functor, [kwargs[argument] for argument, _ in self.execute_bindings.required]
        )


class MapFunctorTask(Task):
    """A task that calls a function on the value of each of several names.

    Args:
        functor: takes one value.
        requires: the names.
        name: the name; defaults to the full name of ``functor``.
        provides: names of the result, which is a list; see `Atom`.
        auto_extract: read the inputs from the signatures.
        rebind: names to look up instead of the argument names.
        inject: values for this task only.

    Raises:
        ValueError: ``functor`` does not take one value, or ``requires`` is empty.
        TypeError: ``requires`` is not an iterable of names.
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
        task_name = _callable_name(functor) if name is None else name
        super().__init__(task_name, provides, names, auto_extract, rebind, inject)

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function on each value, in the order of ``requires``."""
        del args
        return [self._functor(kwargs[argument]) for argument, _ in self.execute_bindings.required]
