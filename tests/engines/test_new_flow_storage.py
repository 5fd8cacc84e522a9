"""What is stored of a new flow before its first run: enough for another process to run it."""

import subprocess
import sys
from pathlib import Path

import pytest

from stackl_flow import FunctorTask, LinearFlow, engines, states
from stackl_flow import exceptions as exc
from stackl_flow.persistence import backends, factory
from stackl_flow.persistence.models import LogBook
from stackl_flow.testing.crash import CrashBackend
from tests.engines.tasks import Keep, final_state

ROOT = Path(__file__).parents[2]
MODULE = """
from stackl_flow import FunctorTask, LinearFlow

def greet(word, times):
    return " ".join([word] * times)

def flow(times):
    given = FunctorTask(greet, name="greet", provides="greeting", inject={"times": times})
    return LinearFlow("greeting").add(given)
"""
EXITS_AFTER_LOAD = """
import os
import greeting
from stackl_flow import engines
from stackl_flow.persistence import backends

with backends.backend("sqlite:///flows.db") as backend:
    engine = engines.load_from_factory(
        greeting.flow, factory_kwargs={"times": 2}, store={"word": "hello"}, backend=backend
    )
    print(engine.storage.flow_uuid, flush=True)
    os._exit(9)
"""


@pytest.fixture
def left(tmp_path):
    """Return the uuid of a flow that a process stored before it was killed, without running it."""
    (tmp_path / "greeting.py").write_text(MODULE)
    (tmp_path / "dies.py").write_text(EXITS_AFTER_LOAD)
    dead = call(tmp_path, "dies.py")
    assert dead.returncode == 9, dead.stderr
    return dead.stdout.strip()


def call(directory, *arguments):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env={"PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_process_killed_after_load_leaves_a_runnable_flow(left, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    with backends.backend(f"sqlite:///{tmp_path / 'flows.db'}") as backend:
        with backend.get_connection() as connection:
            detail = connection.get_flow_details(left)
        engine = engines.load_from_detail(detail, backend=backend)
        assert final_state(engine) == states.SUCCESS
        assert engine.storage.fetch("greeting") == "hello hello"


def test_command_line_runs_a_flow_whose_process_was_killed_after_load(left, tmp_path):
    arguments = ("-m", "stackl_flow.cli", "resume", left, "--db", "flows.db", "--results")
    answer = call(tmp_path, *arguments)
    assert answer.returncode == 0, answer.stderr
    assert '"hello hello"' in answer.stdout


def test_factory_in_a_script_logs_a_warning(tmp_path):
    script = EXITS_AFTER_LOAD.replace("import greeting", f"import sys{MODULE}").replace(
        "greeting.flow", "flow"
    )
    (tmp_path / "script.py").write_text(script)
    dead = call(tmp_path, "script.py")
    assert dead.returncode == 9
    assert "__main__:flow can only be imported while this script runs" in dead.stderr
    refused = call(tmp_path, "-m", "stackl_flow.cli", "resume", dead.stdout.strip(), "--db", "flows.db")
    assert refused.returncode == 2
    assert "has no 'flow': the flow was created by a script that is not running" in refused.stderr


def test_inputs_are_stored_with_the_flow(backend, log):
    engine = engines.load(LinearFlow("f"), store={"x": 1}, backend=backend)
    keep = Keep("a", requires=["x"])
    with backend.get_connection() as connection:
        detail = connection.get_flow_details(engine.storage.flow_uuid)
    engines.load(LinearFlow("f").add(keep), flow_detail=detail, backend=backend).run()
    assert keep.executed == [{"x": 1}]


def test_tasks_in_this_process_receive_the_same_objects(backend):
    given, keep = [1], Keep("a", requires=["x"])
    engines.run(LinearFlow("f").add(keep), store={"x": given}, backend=backend)
    assert keep.executed[0]["x"] is given


def test_input_that_cannot_be_stored_leaves_no_flow(backend):
    with pytest.raises(exc.NotSerializable, match=r"value 'x' of flow 'f'.*transient=True"):
        engines.load(LinearFlow("f"), store={"x": object()}, backend=backend)
    with backend.get_connection() as connection:
        assert connection.list_flow_records() == []


def test_flow_can_be_stored_with_another_name_in_an_existing_book(backend):
    book = LogBook("mine")
    detail = factory.create_flow_detail(LinearFlow("f"), book=book, backend=backend, name="other")
    with backend.get_connection() as connection:
        assert [flow.name for flow in connection.get_logbook(book.uuid)] == ["other"]
        assert connection.get_flow_record(detail.uuid).name == "other"


@pytest.mark.parametrize("stages", [(), ("compile", "prepare", "validate")])
def test_flow_of_one_task_takes_four_writes(tmp_path, stages):
    """Creation, taking of ownership with the atoms, start, end. Each write is two crash points."""
    with backends.backend(f"sqlite:///{tmp_path / 'flows.db'}") as sqlite:
        backend = CrashBackend(sqlite, at=0)
        engine = engines.load(
            LinearFlow("f").add(Keep("a")), backend=backend, store={} if stages else {"x": 1}
        )
        for stage in stages:
            getattr(engine, stage)()
        engine.run()
        with sqlite.get_connection() as connection:
            stored = connection.get_flow_details(engine.storage.flow_uuid)
            history = connection.get_history(stored.uuid)
    assert backend.points == 2 * 4
    assert (stored.state, [atom.state for atom in stored]) == (states.SUCCESS, [states.SUCCESS])
    assert [(transition.atom, transition.new) for transition in history] == [
        (None, states.RUNNING), ("a", states.RUNNING), ("a", states.SUCCESS), (None, states.SUCCESS)
    ]  # fmt: skip


def test_flow_with_missing_inputs_keeps_its_inputs(tmp_path):
    with backends.backend(f"sqlite:///{tmp_path / 'flows.db'}") as backend:
        flow = LinearFlow("f").add(FunctorTask(lambda word, missing: None, name="a"))
        detail = factory.create_flow_detail(flow, backend=backend)
        with pytest.raises(exc.MissingDependencies):
            engines.run(flow, flow_detail=detail, store={"word": "hello"}, backend=backend)
        with backend.get_connection() as connection:
            stored = connection.get_flow_details(detail.uuid)
        assert stored.meta == {"injected": {"word": "hello"}}


def test_the_factory_is_known_while_the_flow_runs(backend):
    engine = engines.load_from_factory("tests.engines.factories:letters", [["a"]], backend=backend)
    engine.compile()
    engine.prepare()
    assert engine.storage.flow_meta["factory"]["name"] == "tests.engines.factories:letters"
