"""The printing listener."""

import pytest

from stackl_flow import LinearFlow
from stackl_flow.listeners.printing import PrintingListener
from tests.engines.tasks import Step, final_state


@pytest.mark.parametrize("stderr", [True, False])
def test_prints_transitions_and_tracebacks(load, log, capsys, stderr):
    engine = load(LinearFlow("f").add(Step("a", log, fails=1)))
    with PrintingListener(engine, stderr=stderr):
        final_state(engine, ValueError)
    out, err = capsys.readouterr()
    printed, silent = (err, out) if stderr else (out, err)
    assert silent == ""
    lines = printed.splitlines()
    assert lines[0].endswith("into state 'RUNNING' from state 'PENDING'")
    assert lines[-1].endswith("into state 'REVERTED' from state 'RUNNING'")
    assert "ValueError: a failed" in lines


def test_prints_only_the_given_states(load, log, capsys):
    engine = load(LinearFlow("f").add(Step("a", log)))
    with PrintingListener(engine, task_listen_for=None, flow_listen_for=["SUCCESS"]):
        engine.run()
    (line,) = capsys.readouterr().out.splitlines()
    assert "has moved flow 'f'" in line
