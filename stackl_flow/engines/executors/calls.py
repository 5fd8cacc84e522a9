"""Calls: one execution or reversion of one atom, and the reports on it.

The loop creates a call, an executor performs it anywhere, and reports come back to the loop's mailbox. A call
has an identity, and every report carries it: what is left of an earlier attempt is never taken for the
current one. ``perform`` is the last frame before user code.
"""

from __future__ import annotations

import contextvars
import functools
import os
import threading
from collections.abc import Callable, Sequence
from types import CoroutineType
from typing import Any, ClassVar, Final, NamedTuple

from stackl_flow import error_text
from stackl_flow import exceptions as exc
from stackl_flow.atom import Atom
from stackl_flow.clock import Clock
from stackl_flow.failure import Failure
from stackl_flow.task import Task
from stackl_flow.task_context import CURRENT, TaskContext

_new_tuple: Any = tuple.__new__

EXECUTE: Final = "execute"
REVERT: Final = "revert"
ON_FAILURE: Final = "on_failure"


class CallId(NamedTuple):
    """Identifies a call: the UUID of the flow, the name of the atom, what is called, and the attempt."""

    flow: str
    atom: str
    action: str
    attempt: int


class Run(NamedTuple):
    """What the calls of one run have in common.

    Attributes:
        flow_uuid: the UUID of the flow.
        flow_name: the name of the flow.
        clock: provides the times at which calls start.
        wrappers: wrap the work; the first is the outermost.
        report_progress: receives the progress of running calls, in the thread that reports it.
        process: the process of the run.
    """

    flow_uuid: str
    flow_name: str
    clock: Clock
    wrappers: Sequence[Wrapper]
    report_progress: Callable[[Progress], None]
    process: Process


class Call(NamedTuple):
    """A method of an atom to be called with arguments.

    Attributes:
        id: identifies the call; ``id.action`` is the method.
        atom: the atom.
        arguments: the arguments of the method.
        run: what the calls of this run have in common.
        context: the context variables that the work sees.
        number: the number of the atom in the plan.
    """

    id: CallId
    atom: Atom
    arguments: dict[str, Any]
    run: Run
    context: contextvars.Context
    number: int

    @property
    def action(self) -> str:
        """The method to call: "execute" or "revert"."""
        return self.id.action

    @property
    def attempt(self) -> int:
        """The attempt, from 1."""
        return self.id.attempt

    def is_for(self, atom: object) -> bool:
        """Return whether this is a call of the atom."""
        return self.atom is atom

    def task_context(self) -> TaskContext:
        """Return what ``current_task`` returns during this call."""
        _, atom, action, attempt = self.id
        return TaskContext(self.run.flow_uuid, self.run.flow_name, atom, action, attempt)

    def report_progress(self, progress: float, details: dict[str, Any]) -> None:
        """Report progress of the task; any thread may call this."""
        self.run.report_progress(Progress(self.id, progress, details))


Wrapper = Callable[[Call, Callable[[], Any]], Any]
"""Wraps the work of a call, in the thread that does it: ``wrap(call, perform)`` calls ``perform()`` once and
returns its result."""


# ---------------------------------------------------------------------- reports


class Completion(NamedTuple):
    """The result of a call, a ``Failure`` if it raised; with ``started_at`` if it may have waited."""

    id: CallId
    result: Any
    started_at: float | None = None


class Started(NamedTuple):
    """The work of a call began, in seconds since the epoch; only executors whose calls can wait report it."""

    id: CallId
    at: float


class Progress(NamedTuple):
    """Progress of a running call, from 0.0 to 1.0, with details."""

    id: CallId
    progress: float
    details: dict[str, Any]


class Cancelled(NamedTuple):
    """A call was recalled before it started."""

    id: CallId


class Interrupted(NamedTuple):
    """Ctrl-C broke a call off in the main thread; what it did so far is unknown."""

    id: CallId


class WakeUp(NamedTuple):
    """Ends a ``wait``, for example because suspension was requested."""


Report = Completion | Started | Progress | Cancelled | Interrupted | WakeUp


# ---------------------------------------------------------------------- processes


class Process:
    """Identity of a process; a copy of the object in a forked child is not ``is_here``."""

    #: Replaced in a forked child. It is compared for each call, and getpid() is a system call.
    current: ClassVar[object] = object()

    def __init__(self) -> None:
        self.generation = Process.current
        self._pid = os.getpid()

    @property
    def is_here(self) -> bool:
        """Whether this is still the process in which the object was created."""
        return self.generation is Process.current

    def check(self, flow: str) -> None:
        """Check that this is not a forked child.

        Raises:
            ForkedProcess: it is one.
        """
        if not self.is_here:
            raise exc.ForkedProcess(
                f"process {os.getpid()} was forked by a task of {flow}, which runs in process {self._pid}:"
                " the child neither continues nor stores that flow; end it with os._exit() inside the task,"
                " or use subprocess or multiprocessing"
            )


def _forked() -> None:
    Process.current = object()


os.register_at_fork(after_in_child=_forked)


# ---------------------------------------------------------------------- performing


def perform(call: Call, started_at: float | None = None) -> Completion | Interrupted:
    """Perform a call in this thread, with the call's context variables.

    Any exception of the atom is its result: also SystemExit and, in other threads than the main thread,
    KeyboardInterrupt. In the main thread that is Ctrl-C, which ends the call without a result.

    Args:
        call: the call.
        started_at: when the work began, if the call may have waited before.

    Raises:
        ForkedProcess: the atom forked, and this is the child.
    """
    try:
        return call.context.run(perform_in_context, call, started_at)
    except KeyboardInterrupt:
        return Interrupted(call.id)


def perform_in_context(call: Call, started_at: float | None = None) -> Completion:
    """Perform a call in the context that is current, which should be the call's; see ``perform``.

    Raises:
        KeyboardInterrupt: Ctrl-C ended the call.
        ForkedProcess: the atom forked, and this is the child.
    """
    call_id, atom, arguments, run, _, _ = call
    token = CURRENT.set(call)
    if isinstance(atom, Task):
        report = atom.progress_callback = call.report_progress  # for threads of the task
    else:
        report = None
    try:
        result = _call_wrapped(call) if run.wrappers else call_method(atom, call_id.action, arguments)
    except Exception:  # noqa: BLE001  any exception of user code is a result
        result = Failure()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and is_main_thread():
            raise
        result = failure_of(error, f"'{call_id.action}' of atom '{call_id.atom}'")
    finally:
        CURRENT.reset(token)  # otherwise context and call would refer to each other
        if report is not None and atom.progress_callback is report:  # type: ignore[attr-defined]
            atom.progress_callback = None  # type: ignore[attr-defined]
    if run.process.generation is not Process.current:
        run.process.check(f"flow '{run.flow_name}' ({run.flow_uuid})")
    completion: Completion = _new_tuple(Completion, (call_id, result, started_at))  # twice as fast
    return completion


def failure_of(error: BaseException, what: str) -> Failure:
    """Return the failure for what ``what`` raised; other than an Exception, it is the cause of a TaskExit."""
    if issubclass(type(error), Exception):  # isinstance() would ask the exception
        return Failure.from_exception(error)
    name, message = error_text.short_name(type(error)), error_text.message_of(error)
    exit_error = exc.TaskExit(f"{what} raised {name}{': ' if message else ''}{message}", cause=error)
    exit_error.__cause__ = error
    return Failure.from_exception(exit_error.with_traceback(error.__traceback__))


def is_main_thread() -> bool:
    """Return whether this is the main thread, in which Python raises KeyboardInterrupt on Ctrl-C."""
    return threading.current_thread() is threading.main_thread()


def _call_wrapped(call: Call) -> Any:
    work: Callable[[], Any] = functools.partial(call_method, call.atom, call.id.action, call.arguments)
    for wrap in reversed(call.run.wrappers):
        work = functools.partial(wrap, call, work)
    return work()


def call_method(atom: Atom, action: str, arguments: dict[str, Any]) -> Any:
    """Call a method of an atom with its hooks before and after."""
    before, method, after = (
        (atom.pre_execute, atom.execute, atom.post_execute)
        if action == EXECUTE
        else (atom.pre_revert, atom.revert, atom.post_revert)
    )
    try:
        before()
        result = method(**arguments)
        if type(result) is CoroutineType:
            # It would never run, and its atom would seem to have succeeded.
            result.close()
            raise exc.NotSupported(
                f"'{action}' of atom '{atom.name}' is async, which engines do not support yet: make it a"
                f" plain method that calls asyncio.run(...)"
            )
        return result
    finally:
        after()
