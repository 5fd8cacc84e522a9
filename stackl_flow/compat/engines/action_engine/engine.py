"""TaskFlow's `taskflow.engines.action_engine.engine`: ours by its class names, what differs mapped back."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Mapping
from typing import Any, ClassVar, Final, cast

from stackl_flow import states as st
from stackl_flow.atom import Atom, Signature
from stackl_flow.compat.engines.action_engine import executor
from stackl_flow.compat.engines.action_engine.compiler import Compilation
from stackl_flow.compat.storage import Storage
from stackl_flow.engines import base, storage
from stackl_flow.engines.engine import FlowEngine
from stackl_flow.engines.executors.base import Executor
from stackl_flow.engines.journal import AppliedTransition, Journal
from stackl_flow.engines.loop import Loop
from stackl_flow.engines.values import InjectedValues, Providers
from stackl_flow.patterns.base import Item
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import FlowDetail

__all__ = ["ActionEngine", "ParallelActionEngine", "SerialActionEngine"]


#: Where these classes are at home as far as a program can see, for example when it prints an engine.
_SHOWN: Final = "taskflow.engines.action_engine.engine"
_ENDS: Final = frozenset({st.SUCCESS, st.FAILURE, st.REVERTED, st.REVERT_FAILURE})


@functools.lru_cache(maxsize=2048)
def _read_signature(function: Callable[..., Any], bound: bool) -> Signature:
    plain = [*inspect.signature(function, follow_wrapped=False).parameters.values()][bound:]
    named = tuple(one.name for one in plain if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY))
    return Signature(named, (), any(one.kind is one.VAR_KEYWORD for one in plain))


def _plain_signature(function: Callable[..., Any]) -> Signature:
    """Read what a decorator takes, not what it decorates: one that takes anything is handed all there is."""
    plain = getattr(function, "__func__", None)
    if plain is not None:
        return _read_signature(plain, True)
    try:
        return _read_signature(function, False)
    except TypeError:  # not hashable, so not to be remembered
        return _read_signature.__wrapped__(function, False)


class _Loop(Loop):
    """A loop that finishes in TaskFlow's states and notifies in TaskFlow's order."""

    def revert_signature(self, atom: Atom) -> Signature:
        """Return what the ``revert`` that is called accepts, without looking through decorators."""
        return _plain_signature(atom.revert)

    def final_state(self, state: str) -> str:
        """Return FAILURE where a revert failed, as TaskFlow does."""
        return st.FAILURE if state == st.REVERT_FAILURE else state

    def take_notifications(self) -> list[AppliedTransition]:
        """Hold back the ends of a batch's atoms until all of them have ended.

        They are stored one by one nevertheless: what is done stays done when the process dies.
        """
        transitions = super().take_notifications()
        if not self.is_batch_running:
            return transitions
        self.pending_notifications = [each for each in transitions if each.new in _ENDS]
        return [each for each in transitions if each.new not in _ENDS]


class ActionEngine(base.Engine):
    """What TaskFlow's engines have in common: a mixin that stands before an engine of ours.

    Being the first, it is where a program's patches take effect.

    Args:
        flow: the flow, or a lone task.
        flow_detail: what is known of it.
        backend: where that is stored, or None to keep it in this process.
        options: see ``EngineOptions``; those of the executor besides.
    """

    NO_RERAISING_STATES: ClassVar[frozenset[str]] = frozenset({st.SUSPENDED, st.SUCCESS})
    IGNORABLE_STATES: ClassVar[frozenset[str]] = frozenset(
        {st.SCHEDULING, st.WAITING, st.RESUMING, st.ANALYZING, st.UNDEFINED, st.GAME_OVER}
    )
    loop_class: ClassVar[type[Loop]] = _Loop

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

    def create_storage(
        self, journal: Journal, injected: InjectedValues, providers: Callable[[], Providers | None]
    ) -> storage.Storage:
        """Create a storage that can be written to as TaskFlow's can."""
        return Storage.for_engine(journal, injected, providers)

    @property
    def _task_executor(self) -> Executor:
        # TaskFlow's own name, by which its tests and its users' see what an engine runs on.
        return self.executor

    @_task_executor.setter
    def _task_executor(self, performs: Executor) -> None:
        self.executor = performs

    @property
    def compilation(self) -> Compilation | None:
        """The plan, which can be looked at as a graph and a tree; None before ``compile``."""
        plan = super().compilation
        if plan is None:
            return None
        if self._compilation is None:
            self._compilation = Compilation(plan, self._flow)
        return self._compilation

    def run(self, timeout: float | None = None) -> None:
        """Run the flow to its end, or to a suspension.

        Args:
            timeout: how many seconds to wait for calls before looking up again.
        """
        super().run(timeout)  # type: ignore[safe-super]  # the next one is FlowEngine's

    def run_iter(self, timeout: float | None = None) -> Generator[str, bool | None, None]:
        """Run the flow step by step; sending a true value, or closing, asks for a pause.

        Args:
            timeout: how many seconds to wait for calls before looking up again.

        Returns:
            The engine's states and, at last, the flow's.
        """
        inner = super().run_iter(timeout)
        return cast("Generator[str, bool | None, None]", inner)


class SerialActionEngine(ActionEngine, FlowEngine):
    """Runs one atom after the other."""

    __module__ = _SHOWN

    def create_executor(self) -> Executor:
        """Create an executor that performs each call on submission."""
        return executor.SerialTaskExecutor()


class ParallelActionEngine(ActionEngine, FlowEngine):
    """Runs atoms at the same time, on threads or on an executor that is given.

    Its further options: ``executor`` and ``max_workers``.
    """

    __module__ = _SHOWN
    EXTRA_OPTIONS = frozenset({"executor", "max_workers"})

    def create_executor(self) -> Executor:
        """Create an executor from the options ``executor`` and ``max_workers``."""
        return executor.make(self._options)
