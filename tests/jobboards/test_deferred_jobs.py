"""A deferred job is delayed, longer each time, and becomes a dead letter after ``max_claims``."""

import pytest

from stackl_flow import states as st
from stackl_flow.jobboards import backends
from stackl_flow.jobboards.base import JobCompletion
from stackl_flow.jobboards.record import SCHEDULED
from stackl_flow.testing.clock import SteppedClock


@pytest.fixture
def clock():
    return SteppedClock()


@pytest.fixture
def board(clock):
    with backends.backend("work", {"board": "memory://", "max_claims": 9}, clock=clock) as board:
        yield board


def defer(board):
    (job,) = board.complete_and_claim("me", limit=1).jobs
    assert board.complete_and_claim("me", [JobCompletion(job, "deferred")]).rejected == ()
    return job


def test_it_is_delayed_and_others_are_claimed_meanwhile(board, clock):
    first, second = board.post("first", priority="HIGH"), board.post("second")
    assert defer(board).uuid == first.uuid
    assert (first.state, board.get_snapshot(first).state) == (st.UNCLAIMED, SCHEDULED)
    assert [job.uuid for job in board.complete_and_claim("you", limit=5).jobs] == [second.uuid]
    assert board.complete_and_claim("you", limit=5).jobs == ()
    clock.step(0.51)
    assert [job.uuid for job in board.complete_and_claim("you", limit=5).jobs] == [first.uuid]
    assert [claim.ended for claim in board.get_snapshot(first).record.claims] == ["deferred", ""]


def test_exponential_backoff_then_dead_letter(board, clock):
    posted, delays = board.post("one"), []
    for _ in range(8):
        began = clock.now()
        defer(board)
        while board.get_snapshot(posted).state == SCHEDULED:
            clock.step(0.5)
            list(board.iterjobs())  # runs maintenance
        delays.append(clock.now() - began)
    assert delays == pytest.approx([0.5, 1, 2, 4, 8, 16, 32, 60], abs=0.51)
    defer(board)
    (dead,) = board.dead_letters
    assert "9 claims failed: me (deferred)" in dead.reason
