"""An owner that always finds jobs runs maintenance only now and then, and misses nothing."""

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


def test_a_lost_claim_is_found_while_there_are_other_jobs(board, clock):
    lost = board.claim(board.post("lost", priority="HIGH"), "dead")
    board.post("other")
    assert [job.name for job in board.wait(0)] == ["other"]
    clock.step(TTL + 1)
    assert [job.name for job in board.wait(0)] == ["lost", "other"]
    assert lost.state == st.UNCLAIMED


def test_a_due_job_is_found_while_there_are_other_jobs(board, clock):
    board.post("other")
    board.post("due", priority="HIGH", not_before=clock.now() + 0.01)
    assert [job.name for job in board.wait(0)] == ["other"]
    clock.step(0.02)
    assert [job.name for job in board.wait(0)] == ["due", "other"]


def test_an_expired_job_that_was_read_before_cannot_be_claimed(board, clock):
    board.post("late", expires_at=clock.now() + 0.01)
    (job,) = board.wait(0)
    clock.step(0.02)
    with pytest.raises(exc.NotFound, match=r"has ended \(dead\)"):
        board.claim(job, "me")
    assert [dead.name for dead in board.dead_letters] == ["late"]


def test_jobs_of_a_new_group_are_found(board):
    board.post("plain")
    assert [job.name for job in board.wait(0)] == ["plain"]
    board.claim(next(board.wait(0)), "me")
    board.post("gpu", required_capabilities=["gpu"])
    assert [job.name for job in board.wait(0, capabilities=["gpu"])] == ["gpu"]
