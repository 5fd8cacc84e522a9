"""State transitions of flows and atoms, as the typed events behind notifier callbacks.

A notifier calls its callbacks with the new state and a dictionary of details, as in TaskFlow. These classes
are the typed form of both: `details` builds the dictionary, `from_details` reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self

NO_RESULT: Final[Any] = object()
"""The result of a transition without one; distinct from a result that is None."""

TASK: Final = "task"
RETRY: Final = "retry"


class FlowTransition(NamedTuple):
    """A flow changed its state.

    Attributes:
        state: the new state.
        old_state: the previous state.
        flow_name: the name of the flow.
        flow_uuid: the UUID of the flow.
        engine: the engine that runs the flow.
    """

    state: str
    old_state: str
    flow_name: str
    flow_uuid: str
    engine: Any = None

    @classmethod
    def from_details(cls, state: str, details: Mapping[str, Any]) -> Self:
        """Build the event from the arguments of a callback; ``engine`` may be missing in ``details``."""
        name, uuid = details["flow_name"], details["flow_uuid"]
        return cls(state, details["old_state"], name, uuid, details.get("engine"))

    def details(self) -> dict[str, Any]:
        """Return the details that callbacks receive next to the state."""
        return {
            "engine": self.engine,
            "flow_name": self.flow_name,
            "flow_uuid": self.flow_uuid,
            "old_state": self.old_state,
        }


class AtomTransition(NamedTuple):
    """A task or retry changed its state.

    Attributes:
        state: the new state.
        old_state: the previous state.
        kind: "task" or "retry".
        name: the name of the atom.
        uuid: the UUID of the atom.
        result: the result or `Failure` of ``execute`` or ``revert`` if this transition ends one, else
            `NO_RESULT`.
        waited: how many seconds the work that this transition ends waited in an executor after RUNNING or
            REVERTING; None if it did not.
    """

    state: str
    old_state: str
    kind: str
    name: str
    uuid: str
    result: Any = NO_RESULT
    waited: float | None = None

    @classmethod
    def from_details(cls, state: str, details: Mapping[str, Any]) -> Self:
        """Build the event from the arguments of a callback."""
        kind = TASK if is_kind(TASK, details) else RETRY
        name, uuid = details[f"{kind}_name"], details[f"{kind}_uuid"]
        result = details.get("result", NO_RESULT)
        return cls(state, details["old_state"], kind, name, uuid, result, details.get("waited"))

    def details(self) -> dict[str, Any]:
        """Return the details that callbacks receive next to the state."""
        details: dict[str, Any] = {
            f"{self.kind}_name": self.name,
            f"{self.kind}_uuid": self.uuid,
            "old_state": self.old_state,
        }
        if self.result is not NO_RESULT:
            details["result"] = self.result
        if self.waited is not None:
            details["waited"] = self.waited
        return details


def is_kind(kind: str, details: Mapping[str, Any]) -> bool:
    """Return whether the details of a callback describe an atom of ``kind``, "task" or "retry"."""
    return f"{kind}_name" in details and f"{kind}_uuid" in details
