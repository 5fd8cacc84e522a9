"""Listeners that note when something happened and how long it took, in the notes kept with flow and atoms."""

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


class Notes(Protocol):
    """Where notes are kept."""

    def update_flow_metadata(self, update_with: Mapping[str, Any]) -> None:
        """Add to the notes kept with the flow."""

    def update_atom_metadata(self, atom_name: str, update_with: Mapping[str, Any]) -> None:
        """Add to the notes kept with an atom."""


class Engine(base.Engine, Protocol):
    """An engine that keeps notes."""

    @property
    def storage(self) -> Notes:
        """Keeps notes."""


def _note(engine: Engine, kind: str, name: str, notes: Mapping[str, Any]) -> None:
    """Keep notes; that they cannot be stored is said, and is no reason to stop."""
    try:
        if kind == _FLOW:
            engine.storage.update_flow_metadata(notes)
        else:
            engine.storage.update_atom_metadata(name, notes)
    except exc.StorageFailure:
        _LOG.warning("could not store %s for %s '%s'", notes, kind, name, exc_info=True)


class DurationListener(base.Listener):
    """Notes how long the flow and each of its tasks took, in seconds, under ``duration``.

    A task that is undone ends with the duration of its revert.

    Args:
        engine: whom to watch.
        clock: measures.
    """

    _engine: Engine

    def __init__(self, engine: Engine, clock: clocks.Clock = clocks.SYSTEM) -> None:
        super().__init__(engine, task_listen_for=WATCH_STATES, flow_listen_for=WATCH_STATES)
        self._clock = clock
        self._began: dict[tuple[str, str], float] = {}

    def deregister(self) -> None:
        """Stop watching, and say so if something that began has not ended."""
        super().deregister()
        if self._began:
            names = [f"{kind} '{name}'" for kind, name in self._began]
            _LOG.warning("stopped measuring before these had ended: %s", ", ".join(names))
        self._began.clear()

    def _starts(self, kind: str, name: str) -> None:
        """Take the beginning of something."""
        self._began[kind, name] = self._clock.monotonic()

    def _ends(self, kind: str, name: str, duration: float) -> None:
        """Take the end of something."""
        _note(self._engine, kind, name, {"duration": duration})

    def _moved(self, kind: str, name: str, state: str) -> None:
        if state in STARTING_STATES:
            self._starts(kind, name)
            return
        began = self._began.pop((kind, name), None)
        if began is not None and state in FINISHED_STATES:
            self._ends(kind, name, self._clock.monotonic() - began)

    def _task_receiver(self, state: str, details: base.Details) -> None:
        self._moved(_TASK, AtomTransition.from_details(state, details).name, state)

    def _flow_receiver(self, state: str, details: base.Details) -> None:
        self._moved(_FLOW, FlowTransition.from_details(state, details).flow_name, state)


class PrintingDurationListener(DurationListener):
    """Prints when something starts and how long it took, and notes it too.

    Args:
        engine: whom to watch.
        printer: called with each line; ``print`` if left out.
        clock: measures.
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
    """Notes when the flow, a task or a retry came into a state, under ``<state>-timestamp``.

    The time is in seconds since 1970 UTC.

    Args:
        engine: whom to watch.
        task_listen_for: see ``Listener``, as for the two that follow.
        flow_listen_for: states of the flow.
        retry_listen_for: states of retries.
        clock: tells the time.
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

    def _stamp(self, kind: str, name: str, state: str) -> None:
        _note(self._engine, kind, name, {f"{state}-timestamp": self._clock.now()})

    def _flow_receiver(self, state: str, details: base.Details) -> None:
        self._stamp(_FLOW, FlowTransition.from_details(state, details).flow_name, state)

    def _task_receiver(self, state: str, details: base.Details) -> None:
        self._stamp(_TASK, AtomTransition.from_details(state, details).name, state)

    def _retry_receiver(self, state: str, details: base.Details) -> None:
        told = AtomTransition.from_details(state, details)
        self._stamp(told.kind, told.name, state)
