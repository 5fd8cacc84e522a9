"""What is told of a flow and its atoms: frozen, typed events, and the details that callbacks get of them.

Inside the house an event is one of these; at its edge, where callbacks registered with a notifier are
called, it is its state and TaskFlow's dictionary of details.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self

#: Stands for the result of a move that gave none.
NO_RESULT: Final[Any] = object()

TASK: Final = "task"
RETRY: Final = "retry"


class FlowTransition(NamedTuple):
    """A flow went from one state to another.

    Args:
        state: where it went.
        old_state: where it was.
        flow_name: the flow's name.
        flow_uuid: the flow's identity.
        engine: the engine that moved it.
    """

    state: str
    old_state: str
    flow_name: str
    flow_uuid: str
    engine: Any = None

    @classmethod
    def from_details(cls, state: str, details: Mapping[str, Any]) -> Self:
        """Make the event of what a callback was told.

        Args:
            state: the first argument of the callback.
            details: the details.

        Returns:
            The event.
        """
        name, uuid = details["flow_name"], details["flow_uuid"]
        return cls(state, details["old_state"], name, uuid, details.get("engine"))

    def details(self) -> dict[str, Any]:
        """Return what callbacks are told besides the state."""
        return {
            "engine": self.engine,
            "flow_name": self.flow_name,
            "flow_uuid": self.flow_uuid,
            "old_state": self.old_state,
        }


class AtomTransition(NamedTuple):
    """A task or a retry went from one state to another.

    Args:
        state: where it went.
        old_state: where it was.
        kind: "task" or "retry".
        name: the atom's name.
        uuid: the atom's identity.
        result: what its method gave, or the failure, where the move is the end of one.
    """

    state: str
    old_state: str
    kind: str
    name: str
    uuid: str
    result: Any = NO_RESULT

    @classmethod
    def from_details(cls, state: str, details: Mapping[str, Any]) -> Self:
        """Make the event of what a callback was told.

        Args:
            state: the first argument of the callback.
            details: the details.

        Returns:
            The event.
        """
        kind = TASK if is_kind(TASK, details) else RETRY
        name, uuid = details[f"{kind}_name"], details[f"{kind}_uuid"]
        return cls(state, details["old_state"], kind, name, uuid, details.get("result", NO_RESULT))

    def details(self) -> dict[str, Any]:
        """Return what callbacks are told besides the state."""
        told = {
            f"{self.kind}_name": self.name,
            f"{self.kind}_uuid": self.uuid,
            "old_state": self.old_state,
        }
        return told if self.result is NO_RESULT else {**told, "result": self.result}


def is_kind(kind: str, details: Mapping[str, Any]) -> bool:
    """Say whether details are of an atom of that kind.

    Args:
        kind: "task" or "retry".
        details: what a callback was told.

    Returns:
        True when they are.
    """
    return f"{kind}_name" in details and f"{kind}_uuid" in details
