"""The transitions of flows, tasks, retries and jobs are those of TaskFlow, with the exceptions listed
here."""

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

#: A failed or suspended flow can be reset, a failed revert can be repeated, and a call can be recalled.
EXTRA_FLOW = {("FAILURE", "PENDING"), ("SUSPENDED", "PENDING")}
EXTRA_ATOM = {("REVERT_FAILURE", "REVERTING"), ("RUNNING", "PENDING")}


def outcome(check, old, new):
    """Return the result of a check, or "error" if it raises the InvalidState of either library."""
    try:
        return check(old, new)
    except Exception as error:
        if type(error).__name__ != "InvalidState":
            raise
        return "error"


@pytest.mark.parametrize(("old", "new"), list(itertools.product(FLOW, FLOW)))
def test_flow_transitions(old, new):
    expected = True if (old, new) in EXTRA_FLOW else outcome(theirs.check_flow_transition, old, new)
    assert outcome(ours.check_flow_transition, old, new) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("RUNNING", "REVERT_FAILURE", True),
        ("SUSPENDING", "REVERT_FAILURE", True),
        ("REVERT_FAILURE", "RUNNING", True),
        ("REVERT_FAILURE", "PENDING", True),
        ("REVERT_FAILURE", "SUSPENDING", False),
        ("REVERT_FAILURE", "RESUMING", False),
        ("REVERT_FAILURE", "SUCCESS", "error"),
        ("PENDING", "REVERT_FAILURE", "error"),
    ],
)
def test_transitions_of_a_flow_in_revert_failure(old, new, expected):
    assert outcome(ours.check_flow_transition, old, new) == expected


@pytest.mark.parametrize("kind", ["task", "retry"])
@pytest.mark.parametrize(("old", "new"), list(itertools.product(ATOM, ATOM)))
def test_atom_transitions(kind, old, new):
    name = f"check_{kind}_transition"
    expected = True if (old, new) in EXTRA_ATOM else bool(getattr(theirs, name)(old, new))
    assert getattr(ours, name)(old, new) is expected


@pytest.mark.parametrize(("old", "new"), list(itertools.product(JOB, JOB)))
def test_job_transitions(old, new):
    assert outcome(ours.check_job_transition, old, new) == outcome(theirs.check_job_transition, old, new)


def test_the_error_names_both_states():
    with pytest.raises(exc.InvalidState, match="'PENDING' to 'SUCCESS' is not allowed"):
        ours.check_flow_transition("PENDING", "SUCCESS")


def test_intentions():
    assert set(ours.INTENTIONS) == {"EXECUTE", "IGNORE", "REVERT", "RETRY"}
