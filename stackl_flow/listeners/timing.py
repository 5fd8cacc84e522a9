"""Listeners that measure durations and record times, in the metadata of flow and atoms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from stackl_flow import clock as clocks
from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow import states as st
from stackl_flow.events import AtomTransition, FlowTransition
from stackl_flow.listeners import base

_LOG = redaction.get_logger(__name__)

STARTING_STATES: Final = frozenset({st.RUNNING, st.REVERTING})
FINISHED_STATES: Final = frozenset(base.FINISH_STATES)
WATCH_STATES: Final = STARTING_STATES | FINISHED_STATES | {st.PENDING}

_FLOW: Final = "flow"
_TASK: Final = "task"


class Storage(Protocol):
    """What these listeners require of an engine's storage."""

    def update_flow_metadata(self, update_with: Mapping[str, Any]) -> None:
        """Add to the flow's metadata."""

    def update_atom_metadata(self, atom_name: str, update_with: Mapping[str, Any]) -> None:
        """Add to an atom's metadata."""


class Engine(base.Engine, Protocol):
    """What these listeners require of an engine."""

    @property
    def storage(self) -> Storage:
        """The flow's storage."""


def _store(engine: Engine, kind: str, name: str, metadata: Mapping[str, Any]) -> None:
    """Store metadata; a failure is logged and does not affect the run."""
    try:
        if kind == _FLOW:
            engine.storage.update_flow_metadata(metadata)
        else:
            engine.storage.update_atom_metadata(name, metadata)
    except exc.StorageFailure:
        _LOG.warning("could not store %s for %s '%s'", metadata, kind, name, exc_info=True)


class DurationListener(base.Listener):
    """Stores how long the flow and each of its tasks took, in seconds, under ``duration``.

    A task that is reverted has the duration of its revert. The time that a call waits in an executor
    before it starts does not count.

    Args:
        engine: the engine.
        clock: measures durations.
    """

    _engine: Engine

    def __init__(self, engine: Engine, clock: clocks.Clock = clocks.SYSTEM) -> None:
        super().__init__(engine, task_listen_for=WATCH_STATES, flow_listen_for=WATCH_STATES)
        self._clock = clock
        self._started_at: dict[tuple[str, str], float] = {}

    def deregister(self) -> None:
        """Deregister; log a warning if a flow or task has not ended."""
        super().deregister()
        if self._started_at:
            names = [f"{kind} '{name}'" for kind, name in self._started_at]
            _LOG.warning("stopped measuring before the end of: %s", ", ".join(names))
        self._started_at.clear()

    def _starts(self, kind: str, name: str) -> None:
        """Record the start of a flow or task."""
        self._started_at[kind, name] = self._clock.monotonic()

    def _ends(self, kind: str, name: str, duration: float) -> None:
        """Store the duration of a flow or task."""
        _store(self._engine, kind, name, {"duration": duration})

    def _record(self, kind: str, name: str, state: str, waited: float | None = None) -> None:
        if state in STARTING_STATES:
            self._starts(kind, name)
            return
        started_at = self._started_at.pop((kind, name), None)
        if started_at is not None and state in FINISHED_STATES:
            duration = self._clock.monotonic() - started_at
            self._ends(kind, name, max(0.0, duration - (waited or 0.0)))

    def _task_receiver(self, state: str, details: base.Details) -> None:
        event = AtomTransition.from_details(state, details)
        self._record(_TASK, event.name, state, event.waited)

    def _flow_receiver(self, state: str, details: base.Details) -> None:
        self._record(_FLOW, FlowTransition.from_details(state, details).flow_name, state)


class PrintingDurationListener(DurationListener):
    """Prints when the flow and its tasks start and how long they took, and stores it, too.

    Args:
        engine: the engine.
        printer: called with each line; ``print`` if left out.
        clock: measures durations.
    """

    def __init__(
        self,
        engine: Engine,
        printer: Callable[[str], Any] | None = None,
        clock: clocks.Clock = clocks.SYSTEM,
    ) -> None:
        super().__init__(engine, clock)
        self._printer = print if printer is None else printer

    def _starts(self, kind: str, name: str) -> None:
        super()._starts(kind, name)
        self._printer(f"'{name}' {kind} started.")

    def _ends(self, kind: str, name: str, duration: float) -> None:
        super()._ends(kind, name, duration)
        self._printer(f"It took {kind} '{name}' {duration:.2f} seconds to finish.")


class EventTimeListener(base.Listener):
    """Stores when the flow, a task or a retry entered a state, under ``<state>-timestamp``.

    Times are in seconds since the epoch (UTC).

    Args:
        engine: the engine.
        task_listen_for: see ``Listener``.
        flow_listen_for: see ``Listener``.
        retry_listen_for: see ``Listener``.
        clock: provides the times.
    """

    _engine: Engine

    def __init__(
        self,
        engine: Engine,
        task_listen_for: Iterable[str] | None = base.DEFAULT_LISTEN_FOR,
        flow_listen_for: Iterable[str] | None = base.DEFAULT_LISTEN_FOR,
        retry_listen_for: Iterable[str] | None = base.DEFAULT_LISTEN_FOR,
        clock: clocks.Clock = clocks.SYSTEM,
    ) -> None:
        super().__init__(engine, task_listen_for, flow_listen_for, retry_listen_for)
        self._clock = clock

    def _store_time(self, kind: str, name: str, state: str) -> None:
        _store(self._engine, kind, name, {f"{state}-timestamp": self._clock.now()})

    def _flow_receiver(self, state: str, details: base.Details) -> None:
        self._store_time(_FLOW, FlowTransition.from_details(state, details).flow_name, state)

    def _task_receiver(self, state: str, details: base.Details) -> None:
        self._store_time(_TASK, AtomTransition.from_details(state, details).name, state)

    def _retry_receiver(self, state: str, details: base.Details) -> None:
        event = AtomTransition.from_details(state, details)
        self._store_time(event.kind, event.name, state)
