"""Conductors that are killed, stopped, starved or asked to go: others finish, and nothing is done twice."""

from __future__ import annotations

import os
import signal
import time

import psutil

from stackl_flow import states as st
from tests.conductors.conftest import TTL

LONG = 30.0


def eventually(what, timeout=LONG):
    """Wait until something holds."""
    deadline = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)  # the ledger is a file: there is nothing to wait on


def test_killed_with_a_job_another_takes_it_over(office):
    first = office.start("first")
    job = office.post("slow", store={"seconds": 30})
    eventually(lambda: ("a", "execute") in office.done())
    office.start("second")
    first.kill()
    eventually(lambda: office.board.find_owner(job) == "second")
    assert [claim.ended for claim in office.board.get_snapshot(job).record.claims] == ["lost", ""]
    assert office.done() == [("a", "execute")]  # what was done is not done again


def test_stopped_and_continued_it_writes_nothing(office):
    first = office.start("first")
    job = office.post("slow", store={"seconds": 2.5})
    eventually(lambda: ("a", "execute") in office.done())
    first.send_signal(signal.SIGSTOP)
    second = office.start("second")
    eventually(lambda: office.board.find_owner(job) == "second")
    first.send_signal(signal.SIGCONT)
    assert set(job.result(LONG)) == {"ledger", "seconds"}
    # The nap was under way when the first was stopped, so it may end there, too; what follows happens once.
    assert office.done() == [("a", "execute"), ("b", "execute")]
    assert office.lines()[-1][2] == str(second.pid)
    other = office.post("good")
    other.result(LONG)  # both are well
    assert first.poll() is None


def test_a_task_that_holds_the_interpreter_loses_nothing(office):
    office.start("first")
    job = office.post("greedy", store={"seconds": 3 * TTL})
    eventually(lambda: ("a", "execute") in office.done())
    office.start("second")
    job.result(LONG)
    assert office.done() == [("a", "execute"), ("b", "execute")]
    assert len({process for _, _, process in office.lines()}) == 1
    assert office.board.get_snapshot(job).outcome["outcome"]["state"] == st.SUCCESS


def test_sigterm_hands_running_jobs_over_in_order(office):
    first = office.start("first", "--slots", "3")
    jobs = [office.post("slow", store={"seconds": 1}) for _ in range(3)]
    eventually(lambda: office.done().count(("a", "execute")) == 3)
    first.send_signal(signal.SIGTERM)
    assert first.wait(LONG) == 0
    assert {job.state for job in jobs} == {st.UNCLAIMED}
    assert {claim.ended for job in jobs for claim in office.board.get_snapshot(job).record.claims} == {
        "released"
    }
    office.start("second", "--slots", "3")
    for job in jobs:
        job.result(LONG)
    assert sorted(office.done()) == [("a", "execute")] * 3 + [("b", "execute")] * 3


def test_the_heart_dies_with_its_body(office):
    first = office.start("first")
    office.post("slow", store={"seconds": 30})
    eventually(lambda: ("a", "execute") in office.done())
    (heart,) = psutil.Process(first.pid).children()
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert heart.wait(LONG) in (0, None)


def test_many_conductors_run_each_job_once(office):
    for index in range(3):
        office.start(f"c{index}", "--slots", "2")
    jobs = [office.post("good") for _ in range(30)]
    for job in jobs:
        job.result(LONG)
    assert office.done().count(("a", "execute")) == office.done().count(("b", "execute")) == 30
    assert len({process for _, _, process in office.lines()}) > 1
    assert office.board.job_count == 0


def test_one_that_lost_its_lease_is_known_again_and_can_be_drained(office):
    first = office.start("first", "--lease-ttl", "0.5")

    def names():
        return [entity.name for entity in office.board.membership.members()]

    eventually(lambda: names() == ["first"])
    first.send_signal(signal.SIGSTOP)
    eventually(lambda: names() == [])
    first.send_signal(signal.SIGCONT)
    eventually(lambda: names() == ["first"])
    office.board.membership.request_drain("first")
    assert first.wait(LONG) == 0
