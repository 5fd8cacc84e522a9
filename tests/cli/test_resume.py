"""Ctrl-C, crashes and take-overs, and resuming afterwards; the flows run in their own processes."""

import re
import signal
import time

import pytest

from tests.cli.conftest import SHOP

pytestmark = pytest.mark.slow


@pytest.fixture
def gated(start, wait_for, tmp_path):
    """Start a flow that waits in a task."""

    def gated(*arguments, factory="gated"):
        process = start(
            "run",
            f"{SHOP}:{factory}",
            "--arg",
            f"folder={tmp_path}",
            "--store",
            "order=1",
            "--name",
            "g",
            *arguments,
        )
        wait_for(tmp_path / "gate.begun")
        return process

    return gated


@pytest.mark.parametrize("engine", [[], ["--engine", "parallel"]], ids=["serial", "parallel"])
def test_progress_of_a_running_task_is_visible_to_other_processes(gated, invoke, finish, tmp_path, engine):
    process = gated(*engine)
    end = time.monotonic() + 30
    # The parallel engine stores it from its own thread, shortly after the task reported it.
    while (atom := invoke("show", "g", "--json").data["atoms"][1])["progress"] != 0.5:
        assert time.monotonic() < end, atom
    assert (atom["name"], atom["state"]) == ("gate", "RUNNING")
    assert re.search(r"^gate +RUNNING 50 % ", invoke("show", "g").out, re.MULTILINE)
    (tmp_path / "open").touch()
    assert finish(process).code == 0
    assert re.search(r"^gate +SUCCESS  ", invoke("show", "g").out, re.MULTILINE)


@pytest.mark.parametrize(
    "engine", [[], ["--engine", "parallel", "--max-workers", "2"]], ids=["serial", "parallel"]
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_suspends_the_flow_and_a_message_says_how_to_resume_it(
    gated, finish, invoke, tmp_path, db, engine, number
):
    process = gated(*engine)
    process.send_signal(number)
    while "stopping" not in (line := process.stderr.readline()):
        assert line
    (tmp_path / "open").touch()
    result = finish(process)
    assert result.code == 4
    uuid = invoke("list", "--json").data[0]["uuid"]
    assert f"stackl-flow resume {uuid} --db {db}" in result.err
    assert invoke("show", uuid, "--json").data["counts"] == {"SUCCESS": 2, "PENDING": 1}
    again = invoke("resume", uuid, "--json")
    assert again.code == 0
    assert [atom["attempts"] for atom in again.data["atoms"]] == [1, 1, 1]


def test_a_second_ctrl_c_aborts_and_the_flow_can_be_resumed(gated, finish, invoke, tmp_path):
    process = gated()
    process.send_signal(signal.SIGINT)
    while "stopping" not in (line := process.stderr.readline()):
        assert line
    process.send_signal(signal.SIGINT)
    result = finish(process)
    assert result.code == 130
    assert "aborted; resume the flow with: stackl-flow resume" in result.err
    assert "Traceback" not in result.err
    (tmp_path / "open").touch()
    assert invoke("resume", "g").code == 0


def test_a_killed_flow_is_resumed_without_repeating_finished_tasks(start, finish, invoke, tmp_path):
    fuse = tmp_path / "fuse"
    fuse.touch()
    died = finish(start("run", f"{SHOP}:dying", "--arg", f"fuse={fuse}", "--store", "order=1"))
    assert died.code == 9
    assert invoke("list", "--json").data[0]["state"] == "RUNNING"
    result = invoke("resume", "--all", "--json")
    assert result.code == 0
    (data,) = result.data
    assert {atom["name"]: (atom["state"], atom["attempts"]) for atom in data["atoms"]} == {
        "first": ("SUCCESS", 1),
        "dies": ("SUCCESS", 2),
        "last": ("SUCCESS", 1),
    }
    assert "nothing to resume" in invoke("resume", "--all").err


def test_a_running_flow_is_left_alone_unless_forced(gated, start, finish, invoke, tmp_path):
    process = gated()
    refused = invoke("resume", "g")
    assert refused.code == 6
    assert f"in process {process.pid} of this machine" in refused.err
    several = invoke("resume", "--all", "--json")
    assert several.code == 6
    assert several.data[0]["error"]["type"] == "OwnershipLost"
    taker = start("resume", "g", "--force")
    while invoke("list", "--json").data[0]["epoch"] == 1:
        assert taker.poll() is None
    (tmp_path / "open").touch()
    assert finish(taker).code == 0
    superseded = finish(process)
    assert superseded.code == 6
    assert "was taken over by" in superseded.err
    assert "Traceback" not in superseded.err
    assert invoke("show", "g", "--json").data["counts"] == {"SUCCESS": 3}


def test_resume_of_a_finished_flow_only_shows_it(invoke):
    invoke("run", f"{SHOP}:lone", "--store", "order=1")
    result = invoke("resume", "alone")
    assert result.code == 0
    assert "is already finished: SUCCESS" in result.err
    invoke("run", f"{SHOP}:order", "--store", "order=1", "--arg", "fail=true")
    assert invoke("resume", "order").code == 1


def test_a_changed_flow_is_refused_and_stays_resumable(gated, finish, invoke, tmp_path):
    process = gated(factory="renamed")
    process.kill()
    finish(process)
    (tmp_path / "changed").touch()
    refused = invoke("resume", "g")
    assert refused.code == 8
    assert "gate" in refused.err
    (tmp_path / "changed").unlink()
    (tmp_path / "open").touch()
    assert invoke("resume", "g").code == 0


def test_a_missing_factory_does_not_keep_other_flows_from_being_resumed(start, finish, invoke, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    (here / "leaving.py").write_text(
        "from tests.cli.shop import dying\ndef flow(fuse):\n    return dying(fuse)\n"
    )
    fuse = tmp_path / "fuse"
    for spec, folder in (("leaving:flow", here), (f"{SHOP}:dying", None)):
        fuse.touch()
        arguments = ["run", spec, "--arg", f"fuse={fuse}", "--store", "order=1", "--name", spec]
        assert finish(start(*arguments, **({"cwd": folder} if folder else {}))).code == 9
    result = invoke("resume", "--all", "--json")
    assert result.code == 2
    assert [one["exit_code"] for one in result.data] == [2, 0]
    assert "leaving" in result.data[0]["error"]["message"]
    assert finish(start("resume", "--all", cwd=here)).code == 0


def test_errors(invoke):
    invoke("db", "upgrade")
    assert invoke("resume").code == 2
    assert invoke("resume", "x", "--all").code == 2
    assert invoke("resume", "ffff").code == 7


CHANGING = """
from stackl_flow import FunctorTask, LinearFlow
import os
def die():
    os._exit(9)
def flow({takes}):
    {first}
    return LinearFlow("changing").add(FunctorTask(die, name="die"))
"""


@pytest.fixture
def left(start, finish, tmp_path):
    """Leave an unfinished flow; return a function that changes the module of its factory."""

    def change(takes="size", first="pass", name="changing_factory.py"):
        (tmp_path / name).write_text(CHANGING.format(takes=takes, first=first))

    change()
    died = finish(start("run", "changing_factory:flow", "--arg", "size=3", cwd=tmp_path))
    assert died.code == 9, died.err
    return change


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"takes": "colour"},
            r"its signature is \(colour\), the flow was stored with \(size=3\), so the factory has to accept",
        ),
        ({"first": "raise KeyError('gone')"}, r"factory 'changing_factory.flow' raised KeyError: 'gone'"),
        ({"first": "return None"}, "'changing_factory.flow' returned None instead of a flow"),
        ({"first": "return )"}, "importing module 'changing_factory' raised SyntaxError"),
    ],
)
def test_a_changed_factory_is_reported_and_nothing_is_lost(start, finish, tmp_path, left, changed, message):
    left(**changed)
    refused = finish(start("resume", "changing", cwd=tmp_path))
    assert refused.code == 2
    assert re.search(message, refused.err)
    assert "Traceback" not in refused.err
    drawn = finish(start("graph", "changing", cwd=tmp_path))
    assert (drawn.code, "has no arrows" in drawn.err) == (0, True)
    left()
    assert finish(start("resume", "changing", cwd=tmp_path)).code == 9


def test_resumed_from_another_directory(start, finish, tmp_path, left):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    refused = finish(start("resume", "changing", cwd=elsewhere))
    assert refused.code == 2
    assert f"{elsewhere} was searched first: check the name and the current directory" in refused.err


def test_a_flow_whose_new_task_has_a_missing_input_is_left_unchanged(gated, finish, invoke, tmp_path):
    process = gated(factory="grown")
    process.kill()
    finish(process)
    (tmp_path / "changed").touch()
    refused = invoke("resume", "g")
    assert refused.code == 8
    assert "missing required inputs ['size']" in refused.err
    shown = invoke("show", "g", "--json").data
    assert [atom["name"] for atom in shown["atoms"]] == ["first", "gate", "last"]
    (tmp_path / "changed").unlink()
    (tmp_path / "open").touch()
    assert invoke("resume", "g").code == 0
