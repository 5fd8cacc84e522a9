"""Query results: frozen dataclasses, independent of any backend and of any presentation.

Times are seconds since the epoch (UTC), durations are seconds. Working times of flows and atoms are derived
from their transitions (`measure`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from stackl_flow import states
from stackl_flow.persistence.records import Transition


@dataclass(frozen=True, slots=True)
class FailureView:
    """Why an atom failed, and in which of its two methods."""

    during: Literal["execute", "revert"]
    kind: str
    message: str
    traceback: str

    @property
    def line(self) -> str:
        """The failure on one line, such as "ValueError: no such port"."""
        first = self.message.strip().partition("\n")[0]
        return f"{self.kind.rpartition('.')[2]}: {first}" if first else self.kind


@dataclass(frozen=True, slots=True)
class AtomView:
    """One atom of a flow.

    `started` is when it first ran, `ended` when it last stopped (None while it runs, or if its process died).
    `seconds` is its total working time over all attempts, `revert_seconds` the part of it spent in `revert`.
    Neither includes the time between the death of a process and the resume, nor the time that a call waits in
    an executor. Meanwhile the state is QUEUED, which exists in views only: RUNNING is stored, since the work
    may start at any moment.
    """

    name: str
    uuid: str
    kind: Literal["task", "retry"]
    state: str
    intention: str
    attempts: int
    started: float | None
    ended: float | None
    seconds: float | None
    revert_seconds: float | None
    progress: float | None
    failures: tuple[FailureView, ...]
    result: Any


@dataclass(frozen=True, slots=True)
class FlowSummary:
    """One row of the list of flows."""

    uuid: str
    name: str
    state: str
    book_uuid: str
    owner: str | None
    epoch: int
    created: float
    updated: float | None


@dataclass(frozen=True, slots=True)
class FlowView:
    """A flow with its atoms, in the order in which they are stored."""

    flow: FlowSummary
    factory: str | None
    started: float | None
    ended: float | None
    seconds: float | None
    atoms: tuple[AtomView, ...]

    def counts(self) -> dict[str, int]:
        """Count the atoms by state; only states that occur are included."""
        counts: dict[str, int] = {}
        for atom in self.atoms:
            counts[atom.state] = counts.get(atom.state, 0) + 1
        return counts

    def failures(self) -> list[tuple[AtomView, FailureView]]:
        """List all failures, each with its atom, in the order of the atoms."""
        return [(atom, failure) for atom in self.atoms for failure in atom.failures]


@dataclass(frozen=True, slots=True)
class Timing:
    """When an atom or a flow worked, and for how long; the fields are those of `AtomView`."""

    started: float | None = None
    ended: float | None = None
    seconds: float | None = None
    revert_seconds: float | None = None
    attempts: int = 0


NOT_STARTED = Timing()

QUEUED = "QUEUED"
"""The state of a view of an atom whose call waits in an executor."""

_WORKING = frozenset({states.RUNNING, states.REVERTING, states.RETRYING, states.SUSPENDING, states.RESUMING})
_STOPPED = frozenset(
    {
        states.SUCCESS,
        states.FAILURE,
        states.REVERTED,
        states.REVERT_FAILURE,
        states.IGNORE,
        states.SUSPENDED,
    }
)


def measure(transitions: Iterable[Transition], owner_arrivals: Mapping[str | None, float]) -> Timing:
    """Add up the working time of one atom or of a flow.

    If one owner left it in a working state and another owner made the next transition, the first owner died.
    The time until the second owner's arrival is not working time, and its run counts as one more attempt.

    Args:
        transitions: its transitions, in order.
        owner_arrivals: when each owner made its first transition in the flow.

    Returns:
        The timing; `seconds` is None if no working time is known.
    """
    started = ended = seconds = revert_seconds = None
    attempts = 0
    previous: Transition | None = None
    for transition in transitions:
        if previous is not None and previous.new in _WORKING:
            if transition.new == states.PENDING:  # recalled before it started
                attempts -= 1
                started = started if attempts else None
                previous = transition
                continue
            begun = max(previous.at, owner_arrivals[transition.who], transition.started_at or 0.0)
            if attempts == 1 and previous.new == states.RUNNING and transition.started_at is not None:
                started = max(previous.at, transition.started_at)
            span = max(0.0, transition.at - begun)
            seconds = span + (seconds or 0.0)
            if previous.new == states.REVERTING:
                revert_seconds = span + (revert_seconds or 0.0)
            is_rerun = previous.new == states.RUNNING and previous.who != transition.who
            attempts += is_rerun and transition.new in _STOPPED
        if transition.new == states.RUNNING:
            attempts += 1
            started = transition.at if started is None else started
        ended = transition.at if transition.new in _STOPPED else None
        previous = transition
    return Timing(started, ended, seconds, revert_seconds, attempts)
