"""TaskFlow's `taskflow.engines.action_engine.engine`: engines of this library with TaskFlow's differences."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any, ClassVar, Final, cast

from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.atom import Atom, Signature
from stackl_flow.compat.engines.action_engine import executor
from stackl_flow.compat.engines.action_engine.compiler import Compilation
from stackl_flow.compat.storage import Storage
from stackl_flow.engines import base, storage
from stackl_flow.engines.commands import Event
from stackl_flow.engines.engine import FlowEngine
from stackl_flow.engines.executors.base import Executor
from stackl_flow.engines.executors.calls import Completion, Interrupted, Report, is_main_thread
from stackl_flow.engines.journal import AppliedTransition, Journal
from stackl_flow.engines.loop import Loop
from stackl_flow.engines.values import InjectedValues, Providers
from stackl_flow.failure import Failure
from stackl_flow.patterns.base import Item
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import FlowDetail

__all__ = ["ActionEngine", "ParallelActionEngine", "SerialActionEngine"]


#: The module of these classes as programs see it, for example in the text of an engine.
_MODULE: Final = "taskflow.engines.action_engine.engine"
_FINISHED: Final = frozenset({st.SUCCESS, st.FAILURE, st.REVERTED, st.REVERT_FAILURE})


@functools.lru_cache(maxsize=2048)
def _read_signature(function: Callable[..., Any], bound: bool) -> Signature:
    parameters = [*inspect.signature(function, follow_wrapped=False).parameters.values()][bound:]
    names = tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
    return Signature(names, (), any(p.kind is p.VAR_KEYWORD for p in parameters))


def _plain_signature(function: Callable[..., Any]) -> Signature:
    """Return the signature of the function itself; a decorator that accepts anything receives everything."""
    plain = getattr(function, "__func__", None)
    if plain is not None:
        return _read_signature(plain, True)
    try:
        return _read_signature(function, False)
    except TypeError:  # not hashable, so it cannot be cached
        return _read_signature.__wrapped__(function, False)


class _Loop(Loop):
    """A loop that finishes in TaskFlow's states and notifies in TaskFlow's order."""

    missing_value_ends_run = True

    def revert_signature(self, atom: Atom) -> Signature:
        """Return the signature of ``revert``, without following decorators."""
        return _plain_signature(atom.revert)

    def final_state(self, state: str) -> str:
        """Return FAILURE if a revert failed, as TaskFlow does."""
        return st.FAILURE if state == st.REVERT_FAILURE else state

    def take_notifications(self) -> list[AppliedTransition]:
        """Delay the notifications of finished atoms until all atoms of the batch have finished.

        The transitions themselves are stored one by one, so a crash does not lose them.
        """
        transitions = super().take_notifications()
        if not self.is_batch_running:
            return transitions
        self.pending_notifications = [each for each in transitions if each.new in _FINISHED]
        return [each for each in transitions if each.new not in _FINISHED]


class _SerialLoop(_Loop):
    """A loop that is suspended when an atom raises ``SystemExit`` in the main thread.

    Attributes:
        exit: what the atom raised, or None.
    """

    exit: SystemExit | None = None

    def _read_reports(self, reports: Iterable[Report]) -> list[Event]:
        return super()._read_reports([self._pass_exit(report) for report in reports])

    def _pass_exit(self, report: Report) -> Report:
        if type(report) is Completion and type(report.result) is Failure:
            error = report.result.exception
            if type(error) is exc.TaskExit and type(error.cause) is SystemExit and is_main_thread():
                self.exit = error.cause
                return Interrupted(report.id)
        return report


class ActionEngine(base.Engine):
    """Mixin with the common behaviour of TaskFlow's engines; precedes the engine class in the bases.

    So patches by a program take effect.

    Args:
        flow: the flow or a single task.
        flow_detail: the stored flow.
        backend: the backend; None: only in this process.
        options: see ``EngineOptions``; further options of the executor.
    """

    NO_RERAISING_STATES: ClassVar[frozenset[str]] = frozenset({st.SUSPENDED, st.SUCCESS})
    IGNORABLE_STATES: ClassVar[frozenset[str]] = frozenset(
        {st.SCHEDULING, st.WAITING, st.RESUMING, st.ANALYZING, st.UNDEFINED, st.GAME_OVER}
    )
    loop_class: ClassVar[type[Loop]] = _Loop
    finish_selected: ClassVar[bool] = True

    executor: Executor

    def __init__(
        self,
        flow: Item,
        flow_detail: FlowDetail,
        backend: Backend | None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(flow, flow_detail, backend, options)
        self._compilation: Compilation | None = None
        self._last_loop: Loop | None = None

    def create_storage(
        self, journal: Journal, injected: InjectedValues, providers: Callable[[], Providers | None]
    ) -> storage.Storage:
        """Create a storage with TaskFlow's methods to change it."""
        return Storage.for_engine(journal, injected, providers)

    @property
    def _task_executor(self) -> Executor:
        # TaskFlow's name, which its tests and those of programs use.
        return self.executor

    @_task_executor.setter
    def _task_executor(self, executor: Executor) -> None:
        self.executor = executor

    @property
    def compilation(self) -> Compilation | None:
        """The plan, with TaskFlow's graph and tree; None before ``compile``."""
        plan = super().compilation
        if plan is None:
            return None
        if self._compilation is None:
            self._compilation = Compilation(plan, self._flow)
        return self._compilation

    def run(self, timeout: float | None = None) -> None:
        """Run the flow until it finishes or is suspended.

        Args:
            timeout: seconds to wait for calls before checking again.
        """
        try:
            super().run(timeout)  # type: ignore[safe-super]  # the next one is FlowEngine's
        except KeyboardInterrupt:
            error = getattr(self._last_loop, "exit", None)
            if error is not None:
                raise error from None
            raise
        finally:
            self._last_loop = None

    def _create_loop(self) -> Loop:
        self._last_loop = super()._create_loop()  # type: ignore[misc]  # the next one is FlowEngine's
        return self._last_loop

    def run_iter(self, timeout: float | None = None) -> Generator[str, bool | None, None]:
        """Run the flow step by step; sending a true value, or closing the generator, suspends it.

        Args:
            timeout: seconds to wait for calls before checking again.

        Yields:
            The states of the engine and, last, the state of the flow.
        """
        inner = super().run_iter(timeout)
        return cast("Generator[str, bool | None, None]", inner)


class SerialActionEngine(ActionEngine, FlowEngine):
    """Runs one atom at a time.

    As in TaskFlow, an atom that raises ``SystemExit`` in the main thread ends the program. Here the flow is
    suspended before.
    """

    __module__ = _MODULE

    loop_class = _SerialLoop

    def create_executor(self) -> Executor:
        """Create an executor that performs each call on submission."""
        return executor.SerialTaskExecutor()


class ParallelActionEngine(ActionEngine, FlowEngine):
    """Runs atoms in parallel, on threads or on a given executor.

    Further options: ``executor`` and ``max_workers``.
    """

    __module__ = _MODULE
    EXTRA_OPTIONS = frozenset({"executor", "max_workers"})

    def create_executor(self) -> Executor:
        """Create an executor from the options ``executor`` and ``max_workers``."""
        return executor.make(self._options)
