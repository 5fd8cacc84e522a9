"""TaskFlow's `taskflow.states`: the states of this library, without the transitions that TaskFlow lacks."""

from typing import Final

from stackl_flow import states
from stackl_flow.states import *  # noqa: F403  every name of TaskFlow's module is one of these

#: The engines that TaskFlow's programs use recall no calls.
_RECALL: Final = (states.RUNNING, states.PENDING)

TASK_TRANSITIONS: Final = tuple(  # type: ignore[misc]  # replaces the one of this library
    each for each in states.TASK_TRANSITIONS if each != _RECALL
)


def check_task_transition(  # type: ignore[no-redef]  # replaces the one of this library
    old_state: str, new_state: str
) -> bool:
    """Return whether TaskFlow allows a transition of a task."""
    return (old_state, new_state) != _RECALL and states.check_task_transition(old_state, new_state)


def check_retry_transition(  # type: ignore[no-redef]  # replaces the one of this library
    old_state: str, new_state: str
) -> bool:
    """Return whether TaskFlow allows a transition of a retry."""
    return (old_state, new_state) != _RECALL and states.check_retry_transition(old_state, new_state)
