"""When something worked and for how long, read off its moves."""

from collections.abc import Iterable
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


def measure(moves: Iterable[Transition]) -> Times:
    """Add up the working time of one atom, or of a flow.

    A span that one owner began and another closed is the time of a crash: nobody worked in it, so it is
    left out.

    Args:
        moves: its moves, in order.

    Returns:
        The times; seconds is None when it never worked for a span that is known.
    """
    started = ended = seconds = undoing = None
    attempts = 0
    before: Transition | None = None
    for move in moves:
        if before is not None and before.new in _WORKING and before.owner == move.owner:
            span = max(0.0, move.at - before.at)
            seconds = span + (seconds or 0.0)
            if before.new in _UNDOING:
                undoing = span + (undoing or 0.0)
        if move.new == states.RUNNING:
            attempts += 1
            started = move.at if started is None else started
        ended = move.at if move.new in _AT_REST else None
        before = move
    return Times(started, ended, seconds, undoing, attempts)
