"""Transition events and the details that callbacks receive."""

import pytest

from stackl_flow.events import NO_RESULT, AtomTransition, FlowTransition, is_kind

TASK = {"task_name": "a", "task_uuid": "u", "old_state": "RUNNING"}
RETRY = {"retry_name": "r", "retry_uuid": "u", "old_state": "RUNNING"}
FLOW = {"engine": 5, "flow_name": "f", "flow_uuid": "u", "old_state": "PENDING"}


@pytest.mark.parametrize(
    ("event", "details"),
    [
        (FlowTransition("RUNNING", "PENDING", "f", "u", 5), FLOW),
        (AtomTransition("SUCCESS", "RUNNING", "task", "a", "u"), TASK),
        (AtomTransition("SUCCESS", "RUNNING", "task", "a", "u", None), {**TASK, "result": None}),
        (AtomTransition("SUCCESS", "RUNNING", "retry", "r", "u", 3), {**RETRY, "result": 3}),
    ],
)
def test_details_round_trip(event, details):
    assert event.details() == details
    assert type(event).from_details(event.state, details) == event


def test_from_details_accepts_a_missing_engine():
    details = {key: value for key, value in FLOW.items() if key != "engine"}
    assert FlowTransition.from_details("RUNNING", details).engine is None


def test_no_result_differs_from_none():
    assert AtomTransition.from_details("SUCCESS", TASK).result is NO_RESULT
    assert AtomTransition.from_details("SUCCESS", {**TASK, "result": None}).result is None


def test_is_kind():
    assert is_kind("task", TASK)
    assert is_kind("retry", RETRY)
    assert not is_kind("task", RETRY)
    assert not is_kind("task", FLOW)
    assert not is_kind("task", {})


def test_events_are_frozen():
    with pytest.raises(AttributeError):
        FlowTransition("RUNNING", "PENDING", "f", "u").state = "SUCCESS"
