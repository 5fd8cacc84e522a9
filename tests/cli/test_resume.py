"""Ctrl-C, crashes, take-overs, and going on afterwards: all in processes of their own."""

import re
import signal
import time

import pytest

from tests.cli.conftest import SHOP

pytestmark = pytest.mark.slow


@pytest.fixture
def gated(start, wait_for, tmp_path):
    """Start a flow that stands at a gate."""

    def gated(*words, factory="gated"):
        process = start(
            "run",
            f"{SHOP}:{factory}",
            "--arg",
            f"folder={tmp_path}",
            "--store",
            "order=1",
            "--name",
            "g",
            *words,
        )
        wait_for(tmp_path / "gate.begun")
        return process

    return gated


@pytest.mark.parametrize("engine", [[], ["--engine", "parallel"]], ids=["serial", "parallel"])
def test_progress_of_a_task_at_work_is_seen_by_another_process(gated, give, finish, tmp_path, engine):
    process = gated(*engine)
    end = time.monotonic() + 30
    # The parallel engine stores it from its own thread, shortly after the task told it.
    while (atom := give("show", "g", "--json").data["atoms"][1])["progress"] != 0.5:
        assert time.monotonic() < end, atom
    assert (atom["name"], atom["state"]) == ("gate", "RUNNING")
    assert re.search(r"^gate +RUNNING 50 % ", give("show", "g").out, re.MULTILINE)
    (tmp_path / "open").touch()
    assert finish(process).code == 0
    assert re.search(r"^gate +SUCCESS  ", give("show", "g").out, re.MULTILINE)


@pytest.mark.parametrize(
    "engine", [[], ["--engine", "parallel", "--max-workers", "2"]], ids=["serial", "parallel"]
)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_suspends_and_the_answer_says_how_to_go_on(
    gated, finish, give, tmp_path, db, engine, number
):
    process = gated(*engine)
    process.send_signal(number)
    while "suspending" not in (line := process.stderr.readline()):
        assert line
    (tmp_path / "open").touch()
    answer = finish(process)
    assert answer.code == 4
    uuid = give("list", "--json").data[0]["uuid"]
    assert f"stackl-flow resume {uuid} --db {db}" in answer.err
    assert give("show", uuid, "--json").data["counts"] == {"SUCCESS": 2, "PENDING": 1}
    again = give("resume", uuid, "--json")
    assert again.code == 0
    assert [atom["attempts"] for atom in again.data["atoms"]] == [1, 1, 1]


def test_a_second_ctrl_c_ends_at_once_and_the_flow_can_be_resumed(gated, finish, give, tmp_path):
    process = gated()
    process.send_signal(signal.SIGINT)
    while "suspending" not in (line := process.stderr.readline()):
        assert line
    process.send_signal(signal.SIGINT)
    answer = finish(process)
    assert answer.code == 130
    assert "aborted; go on with it: stackl-flow resume" in answer.err
    assert "Traceback" not in answer.err
    (tmp_path / "open").touch()
    assert give("resume", "g").code == 0


def test_a_killed_flow_is_resumed_and_repeats_nothing_that_was_finished(start, finish, give, tmp_path):
    fuse = tmp_path / "fuse"
    fuse.touch()
    died = finish(start("run", f"{SHOP}:dying", "--arg", f"fuse={fuse}", "--store", "order=1"))
    assert died.code == 9
    assert give("list", "--json").data[0]["state"] == "RUNNING"
    answer = finish(start("resume", "--all", "--json"))
    assert answer.code == 0
    (data,) = answer.data
    assert {atom["name"]: (atom["state"], atom["attempts"]) for atom in data["atoms"]} == {
        "first": ("SUCCESS", 1),
        "dies": ("SUCCESS", 2),
        "last": ("SUCCESS", 1),
    }
    assert "nothing to resume" in give("resume", "--all").err


def test_a_flow_at_work_is_left_alone_unless_forced(gated, start, finish, give, tmp_path):
    process = gated()
    refused = give("resume", "g")
    assert refused.code == 6
    assert f"in process {process.pid} of this machine" in refused.err
    several = give("resume", "--all", "--json")
    assert several.code == 6
    assert several.data[0]["error"]["type"] == "OwnershipLost"
    thief = start("resume", "g", "--force")
    while give("list", "--json").data[0]["epoch"] == 1:
        assert thief.poll() is None
    (tmp_path / "open").touch()
    assert finish(thief).code == 0
    loser = finish(process)
    assert loser.code == 6
    assert "was taken over by" in loser.err
    assert "Traceback" not in loser.err
    assert give("show", "g", "--json").data["counts"] == {"SUCCESS": 3}


def test_resume_of_a_flow_at_its_end_only_shows_it(give):
    give("run", f"{SHOP}:lone", "--store", "order=1")
    answer = give("resume", "alone")
    assert answer.code == 0
    assert "has ended already: SUCCESS" in answer.err
    give("run", f"{SHOP}:order", "--store", "order=1", "--arg", "fail=true")
    assert give("resume", "order").code == 1


def test_a_changed_flow_is_refused_and_stays_resumable(gated, finish, give, tmp_path):
    process = gated(factory="renamed")
    process.kill()
    finish(process)
    (tmp_path / "changed").touch()
    refused = give("resume", "g")
    assert refused.code == 8
    assert "gate" in refused.err
    (tmp_path / "changed").unlink()
    (tmp_path / "open").touch()
    assert give("resume", "g").code == 0


def test_a_factory_that_is_gone_leaves_the_others_to_be_resumed(start, finish, give, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    (here / "leaving.py").write_text(
        "from tests.cli.shop import dying\ndef flow(fuse):\n    return dying(fuse)\n"
    )
    fuse = tmp_path / "fuse"
    for spec, folder in (("leaving:flow", here), (f"{SHOP}:dying", None)):
        fuse.touch()
        words = ["run", spec, "--arg", f"fuse={fuse}", "--store", "order=1", "--name", spec]
        assert finish(start(*words, **({"cwd": folder} if folder else {}))).code == 9
    answer = give("resume", "--all", "--json")
    assert answer.code == 2
    assert [one["exit_code"] for one in answer.data] == [2, 0]
    assert "leaving" in answer.data[0]["error"]["message"]
    assert finish(start("resume", "--all", cwd=here)).code == 0


def test_mistakes(give):
    give("db", "upgrade")
    assert give("resume").code == 2
    assert give("resume", "x", "--all").code == 2
    assert give("resume", "ffff").code == 7


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
    """Leave a flow whose factory is in a module of its own; gives a way to change that."""

    def change(takes="size", first="pass", name="changing_factory.py"):
        (tmp_path / name).write_text(CHANGING.format(takes=takes, first=first))

    change()
    died = finish(start("run", "changing_factory:flow", "--arg", "size=3", cwd=tmp_path))
    assert died.code == 9, died.err
    return change


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"takes": "colour"}, r"it takes \(colour\), the flow was stored with \(size=3\), let it take these"),
        ({"first": "raise KeyError('gone')"}, r"factory 'changing_factory.flow' raised KeyError: 'gone'"),
        ({"first": "return None"}, "'changing_factory.flow' returned None, not a flow"),
        ({"first": "return )"}, "importing module 'changing_factory' raised SyntaxError"),
    ],
)
def test_a_factory_that_changed_since_is_told_of_and_nothing_is_lost(
    start, finish, tmp_path, left, changed, words
):
    left(**changed)
    refused = finish(start("resume", "changing", cwd=tmp_path))
    assert refused.code == 2
    assert re.search(words, refused.err)
    assert "Traceback" not in refused.err
    drawn = finish(start("graph", "changing", cwd=tmp_path))
    assert (drawn.code, "drawn without arrows" in drawn.err) == (0, True)
    left()
    assert finish(start("resume", "changing", cwd=tmp_path)).code == 9


def test_resumed_from_another_directory(start, finish, tmp_path, left):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    refused = finish(start("resume", "changing", cwd=elsewhere))
    assert refused.code == 2
    assert f"looked in {elsewhere} first: check the name and where you are" in refused.err


def test_a_flow_that_lacks_something_new_is_left_as_it_was(gated, finish, give, tmp_path):
    process = gated(factory="grown")
    process.kill()
    finish(process)
    (tmp_path / "changed").touch()
    refused = give("resume", "g")
    assert refused.code == 8
    assert "missing required inputs ['size']" in refused.err
    shown = give("show", "g", "--json").data
    assert [atom["name"] for atom in shown["atoms"]] == ["first", "gate", "last"]
    (tmp_path / "changed").unlink()
    (tmp_path / "open").touch()
    assert give("resume", "g").code == 0
