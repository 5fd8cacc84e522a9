"""Conductors that are killed, stopped, starved or drained: others take over, and nothing is done twice."""

from __future__ import annotations

import os
import signal
import time

import psutil

from stackl_flow import states as st
from tests.conductors.conftest import TTL

LONG = 30.0


def eventually(condition, timeout=LONG):
    """Wait until a condition holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.01)  # the log is a file: nothing notifies of a change


def test_the_job_of_a_killed_conductor_is_taken_over(deployment):
    first = deployment.start("first")
    job = deployment.post("slow", store={"seconds": 30})
    eventually(lambda: ("a", "execute") in deployment.done())
    deployment.start("second")
    first.kill()
    eventually(lambda: deployment.board.find_owner(job) == "second")
    assert [claim.ended for claim in deployment.board.get_snapshot(job).record.claims] == ["lost", ""]
    assert deployment.done() == [("a", "execute")]  # a finished task does not run again


def test_a_stopped_and_continued_conductor_writes_nothing(deployment):
    first = deployment.start("first")
    job = deployment.post("slow", store={"seconds": 2.5})
    eventually(lambda: ("a", "execute") in deployment.done())
    first.send_signal(signal.SIGSTOP)
    second = deployment.start("second")
    eventually(lambda: deployment.board.find_owner(job) == "second")
    eventually(lambda: deployment.epochs() == [2])  # the second owns the flow, too
    first.send_signal(signal.SIGCONT)
    assert set(job.result(LONG)) == {"log_file", "seconds"}
    # The nap was running when the first was stopped, so it may end there, too; the next task runs once.
    assert deployment.done() == [("a", "execute"), ("b", "execute")]
    assert deployment.lines()[-1][2] == str(second.pid)
    other = deployment.post("good")
    other.result(LONG)  # both conductors still work
    assert first.poll() is None


def test_a_task_that_holds_the_gil_keeps_its_claim(deployment):
    deployment.start("first")
    job = deployment.post("greedy", store={"seconds": 3 * TTL})
    eventually(lambda: ("a", "execute") in deployment.done())
    deployment.start("second")
    job.result(LONG)
    assert deployment.done() == [("a", "execute"), ("b", "execute")]
    assert len({process for _, _, process in deployment.lines()}) == 1
    assert deployment.board.get_snapshot(job).outcome["outcome"]["state"] == st.SUCCESS


def test_sigterm_releases_running_jobs(deployment):
    first = deployment.start("first", "--slots", "3")
    jobs = [deployment.post("slow", store={"seconds": 1}) for _ in range(3)]
    eventually(lambda: deployment.done().count(("a", "execute")) == 3)
    first.send_signal(signal.SIGTERM)
    assert first.wait(LONG) == 0
    assert {job.state for job in jobs} == {st.UNCLAIMED}
    assert {claim.ended for job in jobs for claim in deployment.board.get_snapshot(job).record.claims} == {
        "released"
    }
    deployment.start("second", "--slots", "3")
    for job in jobs:
        job.result(LONG)
    assert sorted(deployment.done()) == [("a", "execute")] * 3 + [("b", "execute")] * 3


def test_the_heartbeat_process_ends_with_its_parent(deployment):
    first = deployment.start("first")
    deployment.post("slow", store={"seconds": 30})
    eventually(lambda: ("a", "execute") in deployment.done())
    (heartbeat,) = psutil.Process(first.pid).children()
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert heartbeat.wait(LONG) in (0, None)


def test_many_conductors_run_each_job_once(deployment):
    for index in range(3):
        deployment.start(f"c{index}", "--slots", "2")
    jobs = [deployment.post("good") for _ in range(30)]
    for job in jobs:
        job.result(LONG)
    assert deployment.done().count(("a", "execute")) == deployment.done().count(("b", "execute")) == 30
    assert len({process for _, _, process in deployment.lines()}) > 1
    assert deployment.board.job_count == 0


def test_a_conductor_that_lost_its_lease_registers_again_and_can_be_drained(deployment):
    first = deployment.start("first", "--lease-ttl", "0.5")

    def names():
        return [entity.name for entity in deployment.board.membership.members()]

    eventually(lambda: names() == ["first"])
    first.send_signal(signal.SIGSTOP)
    eventually(lambda: names() == [])
    first.send_signal(signal.SIGCONT)
    eventually(lambda: names() == ["first"])
    deployment.board.membership.request_drain("first")
    assert first.wait(LONG) == 0
