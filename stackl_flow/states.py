"""States of flows, atoms and jobs, and the transitions allowed between them.

The engine, the state machines and the documentation all use these tables. Names and transitions are those of
TaskFlow, with two additions. A flow in which a revert failed ends in ``REVERT_FAILURE`` and can be resumed
from there. A task whose call was recalled before it started goes back from ``RUNNING`` to ``PENDING``.
"""

from __future__ import annotations

from typing import Final

from stackl_flow import exceptions as exc

# States of jobs.
CLAIMED: Final = "CLAIMED"
COMPLETE: Final = "COMPLETE"
UNCLAIMED: Final = "UNCLAIMED"

# States of flows; tasks and retries have some of them, too.
FAILURE: Final = "FAILURE"
PENDING: Final = "PENDING"
REVERTING: Final = "REVERTING"
REVERTED: Final = "REVERTED"
RUNNING: Final = "RUNNING"
SUCCESS: Final = "SUCCESS"
SUSPENDING: Final = "SUSPENDING"
SUSPENDED: Final = "SUSPENDED"
RESUMING: Final = "RESUMING"

# States of tasks and retries only; REVERT_FAILURE also of flows.
RETRYING: Final = "RETRYING"
IGNORE: Final = "IGNORE"
REVERT_FAILURE: Final = "REVERT_FAILURE"

# Intentions: what is to be done with an atom.
EXECUTE: Final = "EXECUTE"
REVERT: Final = "REVERT"
RETRY: Final = "RETRY"
INTENTIONS: Final = (EXECUTE, IGNORE, REVERT, RETRY)

# States of an engine during a run.
UNDEFINED: Final = "UNDEFINED"
SCHEDULING: Final = "SCHEDULING"
WAITING: Final = "WAITING"
ANALYZING: Final = "ANALYZING"
GAME_OVER: Final = "GAME_OVER"

Transitions = tuple[tuple[str, str], ...]

JOB_TRANSITIONS: Final[Transitions] = (
    (UNCLAIMED, CLAIMED),
    (CLAIMED, UNCLAIMED),
    (CLAIMED, COMPLETE),
)
JOB_START: Final = UNCLAIMED
JOB_TERMINAL: Final = frozenset({COMPLETE})

FLOW_TRANSITIONS: Final[Transitions] = (
    (PENDING, RUNNING),
    (RUNNING, SUCCESS),
    (RUNNING, FAILURE),
    (RUNNING, REVERTED),
    (RUNNING, REVERT_FAILURE),
    (RUNNING, SUSPENDING),
    (RUNNING, RESUMING),
    (SUCCESS, RUNNING),
    (SUCCESS, PENDING),
    (FAILURE, RUNNING),
    (FAILURE, PENDING),
    (REVERTED, PENDING),
    (REVERT_FAILURE, RUNNING),
    (REVERT_FAILURE, PENDING),
    (SUSPENDING, SUSPENDED),
    (SUSPENDING, SUCCESS),
    (SUSPENDING, FAILURE),
    (SUSPENDING, REVERTED),
    (SUSPENDING, REVERT_FAILURE),
    (SUSPENDING, RESUMING),
    (SUSPENDED, RUNNING),
    (SUSPENDED, PENDING),
    (RESUMING, SUSPENDED),
)
FLOW_START: Final = PENDING
FLOW_TERMINAL: Final[frozenset[str]] = frozenset()

# A flow that is not running ignores requests to suspend or resume.
IGNORED_FLOW_TRANSITIONS: Final = frozenset(
    (state, request)
    for state in (PENDING, FAILURE, SUCCESS, SUSPENDED, REVERTED, REVERT_FAILURE)
    for request in (SUSPENDING, SUSPENDED, RESUMING)
    if state != request
)

TASK_TRANSITIONS: Final[Transitions] = (
    (PENDING, RUNNING),
    (PENDING, IGNORE),
    (RUNNING, SUCCESS),
    (RUNNING, FAILURE),
    (RUNNING, PENDING),
    (FAILURE, REVERTING),
    (SUCCESS, REVERTING),
    (REVERTING, REVERTED),
    (REVERTING, REVERT_FAILURE),
    (REVERT_FAILURE, REVERTING),
    (REVERTED, PENDING),
    (IGNORE, PENDING),
)
TASK_START: Final = PENDING
TASK_TERMINAL: Final[frozenset[str]] = frozenset()

RETRY_TRANSITIONS: Final[Transitions] = (
    *TASK_TRANSITIONS,
    (SUCCESS, RETRYING),
    (RETRYING, RUNNING),
)
RETRY_START: Final = PENDING
RETRY_TERMINAL: Final[frozenset[str]] = frozenset()

# The states of an engine during a run: (from, event, to).
ENGINE_TRANSITIONS: Final = (
    (UNDEFINED, "start", RESUMING),
    (RESUMING, "schedule_next", SCHEDULING),
    (SCHEDULING, "wait_finished", WAITING),
    (WAITING, "examine_finished", ANALYZING),
    (ANALYZING, "schedule_next", SCHEDULING),
    (ANALYZING, "wait_finished", WAITING),
    (ANALYZING, "completed", GAME_OVER),
    (GAME_OVER, "success", SUCCESS),
    (GAME_OVER, "reverted", REVERTED),
    (GAME_OVER, "failed", FAILURE),
    (GAME_OVER, "revert_failed", REVERT_FAILURE),
    (GAME_OVER, "suspended", SUSPENDED),
)
ENGINE_START: Final = UNDEFINED
ENGINE_TERMINAL: Final = frozenset({SUCCESS, REVERTED, FAILURE, REVERT_FAILURE, SUSPENDED})

_JOB: Final = frozenset(JOB_TRANSITIONS)
_FLOW: Final = frozenset(FLOW_TRANSITIONS)
_TASK: Final = frozenset(TASK_TRANSITIONS)
_RETRY: Final = frozenset(RETRY_TRANSITIONS)


def check_job_transition(old_state: str, new_state: str) -> bool:
    """Check a transition of a job.

    Returns:
        True if the transition is allowed, False if the states are equal.

    Raises:
        InvalidState: the transition is not allowed.
    """
    if old_state == new_state:
        return False
    if (old_state, new_state) in _JOB:
        return True
    raise exc.InvalidState(f"Job transition from '{old_state}' to '{new_state}' is not allowed")


def check_flow_transition(old_state: str, new_state: str) -> bool:
    """Check a transition of a flow.

    Returns:
        True if the transition is allowed. False if it is to be ignored: the states are equal, or a flow
        that is not running is to be suspended or resumed.

    Raises:
        InvalidState: the transition is not allowed.
    """
    if old_state == new_state:
        return False
    pair = (old_state, new_state)
    if pair in _FLOW:
        return True
    if pair in IGNORED_FLOW_TRANSITIONS:
        return False
    raise exc.InvalidState(f"Flow transition from '{old_state}' to '{new_state}' is not allowed")


def check_task_transition(old_state: str, new_state: str) -> bool:
    """Return whether a transition of a task is allowed."""
    return (old_state, new_state) in _TASK


def check_retry_transition(old_state: str, new_state: str) -> bool:
    """Return whether a transition of a retry is allowed."""
    return (old_state, new_state) in _RETRY
