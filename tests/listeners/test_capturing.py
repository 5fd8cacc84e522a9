"""The capturing listener."""

import pytest

from stackl_flow import LinearFlow, retry
from stackl_flow.listeners.capturing import CaptureListener
from tests.engines.tasks import steps


def run(load, log, **kwargs):
    engine = load(LinearFlow("f", retry=retry.Times(1, "r")).add(*steps("ab", log)))
    with CaptureListener(engine, **kwargs) as kept:
        engine.run()
    return kept.values


def short(values):
    return [(kind, state) for kind, state, _ in values]


FLOW = [("flow", "RUNNING"), ("flow", "SUCCESS")]
RETRY = [("retry", "RUNNING"), ("retry", "SUCCESS")]
TASK = [("task", "RUNNING"), ("task", "SUCCESS")]


def test_captures_all_transitions_with_details(load, log):
    values = run(load, log)
    assert short(values) == [FLOW[0], *RETRY, *TASK, *TASK, FLOW[1]]
    kind, state, details = values[4]
    assert (kind, state, details["task_name"], details["result"]) == ("task", "SUCCESS", "a", "A")


@pytest.mark.parametrize(
    ("kwargs", "kept"),
    [
        ({"capture_flow": False}, [*RETRY, *TASK, *TASK]),
        ({"capture_task": False}, [FLOW[0], *RETRY, FLOW[1]]),
        ({"capture_retry": False}, [FLOW[0], *TASK, *TASK, FLOW[1]]),
        ({"skip_tasks": ["a"]}, [FLOW[0], *RETRY, *TASK, FLOW[1]]),
        ({"skip_retries": ["r"]}, [FLOW[0], *TASK, *TASK, FLOW[1]]),
        ({"skip_flows": ["f"]}, [*RETRY, *TASK, *TASK]),
        ({"task_listen_for": (), "flow_listen_for": ["SUCCESS"]}, [*RETRY, FLOW[1]]),
    ],
)
def test_skipped_names_and_kinds(load, log, kwargs, kept):
    assert short(run(load, log, **kwargs)) == kept


def test_appends_to_a_given_list(load, log):
    values = ["before"]
    assert run(load, log, values=values) is values
    assert values[0] == "before"
    assert len(values) == 9


def test_subclass_formats_what_is_captured(load, log):
    class Names(CaptureListener):
        @staticmethod
        def _format_capture(kind, state, details):
            return f"{details[f'{kind}_name']}.{kind[0]} {state}"

    engine = load(LinearFlow("f").add(*steps("a", log)))
    with Names(engine) as kept:
        engine.run()
    assert kept.values == ["f.f RUNNING", "a.t RUNNING", "a.t SUCCESS", "f.f SUCCESS"]
