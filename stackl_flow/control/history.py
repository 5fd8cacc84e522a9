"""The history of a flow: every move of it and its atoms, with time and owner."""

from collections import defaultdict
from collections.abc import Mapping

from stackl_flow.control.times import Times, measure
from stackl_flow.control.views import MoveView
from stackl_flow.persistence.base import Backend, Connection
from stackl_flow.persistence.records import Transition


def history(backend: Backend, flow_uuid: str, after: int = 0, limit: int | None = None) -> list[MoveView]:
    """Read the moves of a flow in the order they were made.

    Args:
        backend: where the flow is stored.
        flow_uuid: its whole uuid.
        after: only moves with a higher seq.
        limit: at most so many.

    Returns:
        The moves.

    Raises:
        StorageFailure: the place cannot be read.
    """
    with backend.get_connection() as connection:
        return [MoveView(*move) for move in connection.get_history(flow_uuid, after, limit)]


def times_of(connection: Connection, flow_uuid: str) -> Mapping[str | None, Times]:
    """Measure everything in a flow.

    Args:
        connection: to where the flow is stored.
        flow_uuid: its whole uuid.

    Returns:
        The times by atom name; those of the flow itself under None.
    """
    moves: dict[str | None, list[Transition]] = defaultdict(list)
    arrivals: dict[str, float] = {}
    for move in connection.get_history(flow_uuid):
        moves[move.atom].append(move)
        arrivals.setdefault(move.owner, move.at)
    return {name: measure(own, arrivals) for name, own in moves.items()}
