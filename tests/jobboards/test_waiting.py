"""Who always finds work sweeps only now and then, and misses nothing for that."""

import uuid

import pytest

from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.jobboards import backends
from stackl_flow.testing.clock import SteppedClock

TTL = 5.0


@pytest.fixture
def clock():
    return SteppedClock()


@pytest.fixture
def board(clock):
    conf = {"board": f"memory://{uuid.uuid4()}", "ttl": TTL}
    with backends.fetch("work", conf, clock=clock) as board:
        yield board


def test_a_lost_claim_is_found_though_there_is_always_other_work(board, clock):
    lost = board.claim(board.post("lost", priority="HIGH"), "dead")
    board.post("other")
    assert [job.name for job in board.wait(0)] == ["other"]
    clock.step(TTL + 1)
    assert [job.name for job in board.wait(0)] == ["lost", "other"]
    assert lost.state == st.UNCLAIMED


def test_a_job_that_falls_due_is_found_though_there_is_always_other_work(board, clock):
    board.post("other")
    board.post("due", priority="HIGH", not_before=clock.now() + 0.01)
    assert [job.name for job in board.wait(0)] == ["other"]
    clock.step(0.02)
    assert [job.name for job in board.wait(0)] == ["due", "other"]


def test_a_job_that_is_overdue_is_not_claimed_by_who_read_it_in_time(board, clock):
    board.post("late", expires_at=clock.now() + 0.01)
    (job,) = board.wait(0)
    clock.step(0.02)
    with pytest.raises(exc.NotFound, match=r"has ended \(dead\)"):
        board.claim(job, "me")
    assert [kept.name for kept in board.dead_letters] == ["late"]


def test_abilities_that_no_job_needed_before_are_seen(board):
    board.post("plain")
    assert [job.name for job in board.wait(0)] == ["plain"]
    board.claim(next(board.wait(0)), "me")
    board.post("gpu", required_capabilities=["gpu"])
    assert [job.name for job in board.wait(0, capabilities=["gpu"])] == ["gpu"]
