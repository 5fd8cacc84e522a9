"""What an operator sees of stored flows: frozen answers, free of any backend and of any screen.

Times are seconds since 1970 in UTC, spans are seconds.

When something worked and for how long, read off its moves.
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
        """The failure in one line, such as "ValueError: no such port"."""
        first = self.message.strip().partition("\n")[0]
        return f"{self.kind.rpartition('.')[2]}: {first}" if first else self.kind


@dataclass(frozen=True, slots=True)
class AtomView:
    """One atom of a flow.

    `started` is when it first ran, `ended` when it came to rest (None while it works or was cut off).
    `seconds` is its total working time over all attempts; `revert_seconds` is the part of it
    spent in `revert`. Time in which the process was dead is in neither.
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
    """One line of the list of flows."""

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
    """A flow with its atoms, in the order in which they were stored."""

    flow: FlowSummary
    factory: str | None
    started: float | None
    ended: float | None
    seconds: float | None
    atoms: tuple[AtomView, ...]

    def counts(self) -> dict[str, int]:
        """Count the atoms by state.

        Returns:
            The number of atoms for each state that occurs.
        """
        found: dict[str, int] = {}
        for atom in self.atoms:
            found[atom.state] = found.get(atom.state, 0) + 1
        return found

    def failures(self) -> list[tuple[AtomView, FailureView]]:
        """List everything that failed.

        Returns:
            Pairs of an atom and one of its failures, in the order of the atoms.
        """
        return [(atom, failure) for atom in self.atoms for failure in atom.failures]


@dataclass(frozen=True, slots=True)
class MoveView:
    """One move in a flow's history; `atom` is None when the flow itself moved."""

    seq: int
    atom: str | None
    old: str | None
    new: str | None
    at: float
    owner: str


_WORKING = frozenset({states.RUNNING, states.REVERTING, states.RETRYING, states.SUSPENDING, states.RESUMING})
_UNDOING = frozenset({states.REVERTING})
_AT_REST = frozenset(
    {
        states.SUCCESS,
        states.FAILURE,
        states.REVERTED,
        states.REVERT_FAILURE,
        states.IGNORE,
        states.SUSPENDED,
    }
)


@dataclass(frozen=True, slots=True)
class Times:
    """What the moves of one atom, or of the flow itself, tell."""

    started: float | None = None
    ended: float | None = None
    seconds: float | None = None
    revert_seconds: float | None = None
    attempts: int = 0


NEVER = Times()


def measure(moves: Iterable[Transition], arrivals: Mapping[str, float]) -> Times:
    """Add up the working time of one atom, or of a flow.

    When one owner left it at work and another brought it on, the time in between is that of a crash: only
    what came after the other's arrival counts, and it counts as one more attempt.

    Args:
        moves: its moves, in order.
        arrivals: when each owner made its first move in the flow.

    Returns:
        The times; seconds is None when it never worked for a span that is known.
    """
    started = ended = seconds = revert_seconds = None
    attempts = 0
    before: Transition | None = None
    for move in moves:
        if before is not None and before.new in _WORKING:
            span = max(0.0, move.at - max(before.at, arrivals[move.owner]))
            seconds = span + (seconds or 0.0)
            if before.new in _UNDOING:
                revert_seconds = span + (revert_seconds or 0.0)
            attempts += before.new == states.RUNNING and before.owner != move.owner and move.new in _AT_REST
        if move.new == states.RUNNING:
            attempts += 1
            started = move.at if started is None else started
        ended = move.at if move.new in _AT_REST else None
        before = move
    return Times(started, ended, seconds, revert_seconds, attempts)
