"""When something worked and for how long, read off its moves."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stackl_flow import states
from stackl_flow.persistence.records import Transition

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
    undoing: float | None = None
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
    started = ended = seconds = undoing = None
    attempts = 0
    before: Transition | None = None
    for move in moves:
        if before is not None and before.new in _WORKING:
            span = max(0.0, move.at - max(before.at, arrivals[move.owner]))
            seconds = span + (seconds or 0.0)
            if before.new in _UNDOING:
                undoing = span + (undoing or 0.0)
            attempts += before.new == states.RUNNING and before.owner != move.owner and move.new in _AT_REST
        if move.new == states.RUNNING:
            attempts += 1
            started = move.at if started is None else started
        ended = move.at if move.new in _AT_REST else None
        before = move
    return Times(started, ended, seconds, undoing, attempts)
