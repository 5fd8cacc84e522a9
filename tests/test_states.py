"""The moves that flows, tasks, retries and jobs may make: TaskFlow's, save those listed here."""

import itertools

import pytest
from taskflow import states as theirs

from stackl_flow import exceptions as exc
from stackl_flow import states as ours

FLOW = ["PENDING", "RUNNING", "SUCCESS", "FAILURE", "REVERTED", "SUSPENDING", "SUSPENDED", "RESUMING"]
ATOM = [
    "PENDING",
    "RUNNING",
    "SUCCESS",
    "FAILURE",
    "REVERTING",
    "REVERTED",
    "REVERT_FAILURE",
    "RETRYING",
    "IGNORE",
]
JOB = ["UNCLAIMED", "CLAIMED", "COMPLETE"]

#: A flow that failed or was paused can be set back, and a failed revert tried again.
MORE_FLOW = {("FAILURE", "PENDING"), ("SUSPENDED", "PENDING")}
MORE_ATOM = {("REVERT_FAILURE", "REVERTING")}


def answer(check, old, new):
    """Return what a check says; "refused" when it raises an invalid state of either library."""
    try:
        return check(old, new)
    except Exception as error:
        if type(error).__name__ != "InvalidState":
            raise
        return "refused"


@pytest.mark.parametrize(("old", "new"), list(itertools.product(FLOW, FLOW)))
def test_flow_moves(old, new):
    expected = True if (old, new) in MORE_FLOW else answer(theirs.check_flow_transition, old, new)
    assert answer(ours.check_flow_transition, old, new) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("RUNNING", "REVERT_FAILURE", True),
        ("SUSPENDING", "REVERT_FAILURE", True),
        ("REVERT_FAILURE", "RUNNING", True),
        ("REVERT_FAILURE", "PENDING", True),
        ("REVERT_FAILURE", "SUSPENDING", False),
        ("REVERT_FAILURE", "RESUMING", False),
        ("REVERT_FAILURE", "SUCCESS", "refused"),
        ("PENDING", "REVERT_FAILURE", "refused"),
    ],
)
def test_moves_of_a_parked_flow(old, new, expected):
    assert answer(ours.check_flow_transition, old, new) == expected


@pytest.mark.parametrize("kind", ["task", "retry"])
@pytest.mark.parametrize(("old", "new"), list(itertools.product(ATOM, ATOM)))
def test_atom_moves(kind, old, new):
    name = f"check_{kind}_transition"
    expected = True if (old, new) in MORE_ATOM else bool(getattr(theirs, name)(old, new))
    assert getattr(ours, name)(old, new) is expected


@pytest.mark.parametrize(("old", "new"), list(itertools.product(JOB, JOB)))
def test_job_moves(old, new):
    assert answer(ours.check_job_transition, old, new) == answer(theirs.check_job_transition, old, new)


def test_a_refusal_names_both_states():
    with pytest.raises(exc.InvalidState, match="'PENDING' to 'SUCCESS' is not allowed"):
        ours.check_flow_transition("PENDING", "SUCCESS")


def test_intentions():
    assert set(ours.INTENTIONS) == {"EXECUTE", "IGNORE", "REVERT", "RETRY"}
