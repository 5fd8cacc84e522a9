"""Ctrl-C, crashes, take-overs, and going on afterwards: all in processes of their own."""

import re
import signal
import time

import pytest

from tests.cli.conftest import SHOP


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
