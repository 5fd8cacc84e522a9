"""Short jobs are claimed some at a time: nothing waits for it, nothing is lost by it."""

from __future__ import annotations

import signal
import threading
import uuid
from collections import Counter

import pytest

from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.conductors import backends
from stackl_flow.conductors.job_runner import RunResult
from stackl_flow.conductors.prefetch import PREFETCH_SECONDS, ClaimSize, PrefetchBuffer
from stackl_flow.jobboards import backends as boards
from stackl_flow.jobboards.record import CONSUMED, TRASHED
from stackl_flow.persistence import backends as stores
from stackl_flow.submission import post_flow
from tests.conductors.test_takeover import LONG, eventually

DONE = RunResult(CONSUMED, {"state": st.SUCCESS, "result": {}})


@pytest.fixture
def board():
    with boards.backend("work", f"memory://{uuid.uuid4()}") as board:
        yield board


@pytest.fixture
def acknowledged():
    return []


def close(buffer):
    buffer.close(threading.Event(), 0.01)


@pytest.fixture
def open_buffer(board, acknowledged):
    def open_it(hold):
        return PrefetchBuffer(
            board, "me", None, lambda job, result: acknowledged.append((job.name, result.disposition)), hold
        )

    return open_it


@pytest.fixture
def buffer(open_buffer):
    buffer = open_buffer(LONG)
    yield buffer
    close(buffer)


def post(board, *names):
    """Post jobs so that they come in this order."""
    priorities = ("VERY_HIGH", "HIGH", "NORMAL", "LOW", "VERY_LOW")
    return [board.post(name, priority=each) for name, each in zip(names, priorities, strict=False)]


def test_so_many_jobs_are_claimed_as_are_done_in_a_moment():
    size = ClaimSize(20)
    assert size.limit(1) == 1, "nothing is known yet"
    for _ in range(50):
        size.record(PREFETCH_SECONDS / 10)
    assert (size.limit(1), size.limit(4)) == (pytest.approx(10, abs=1), 20)
    size.record(1.0)
    assert (size.limit(1), size.limit(4)) == (1, 4), "a slow one counts at once"
    size.record(0.0)
    assert size.limit(1) == 1, "a quick one little by little"
    careful = ClaimSize(1)
    careful.record(0.0)
    assert (careful.limit(1), careful.limit(3)) == (1, 3)


def test_ends_go_to_the_board_with_the_next_claims(board, buffer, acknowledged):
    first, second, third = post(board, "a", "b", "c")
    buffer.exchange(2, 0)
    a, b = buffer.pop(), buffer.pop()
    assert (a.name, b.name, buffer.pop()) == ("a", "b", None)
    buffer.complete(a, DONE)
    buffer.complete(b, RunResult(TRASHED, {"reason": "no such site"}))
    buffer.exchange(5, 0)
    assert acknowledged == [("a", CONSUMED), ("b", TRASHED)]
    assert [job.state for job in (first, second, third)] == [st.COMPLETE, st.COMPLETE, st.CLAIMED]
    assert buffer.pop().name == "c"


def test_nothing_in_hand_waits_for_a_long_job(board, open_buffer, acknowledged):
    jobs = post(board, "short", "long", "other", "third")
    buffer = open_buffer(0.5)
    buffer.exchange(4, 0)
    buffer.complete(buffer.pop(), DONE)
    buffer.pop()  # and it takes its time
    eventually(lambda: jobs[0].state == st.COMPLETE)
    eventually(lambda: {job.state for job in jobs[2:]} == {st.UNCLAIMED})
    assert acknowledged == [("short", CONSUMED)]
    assert [board.find_owner(job) for job in jobs[1:]] == ["me", None, None]
    assert {job.claims for job in board.iterjobs(only_unclaimed=True)} == {()}, "that leaves no trace"
    assert buffer.pop() is None
    close(buffer)


def test_what_was_claimed_too_long_ago_is_not_begun(board, open_buffer):
    """A process that was stopped and continued may have lost its claims meanwhile."""
    (job,) = post(board, "a")
    buffer = open_buffer(0.0)
    buffer.exchange(1, 0)
    assert buffer.pop() is None
    buffer.exchange(0, 0)
    assert job.state == st.UNCLAIMED


def test_what_is_in_hand_at_the_end_goes_back(board, buffer, acknowledged):
    jobs = post(board, "a", "b", "c")
    buffer.exchange(3, 0)
    buffer.complete(buffer.pop(), DONE)
    close(buffer)
    assert [job.state for job in jobs] == [st.COMPLETE, st.UNCLAIMED, st.UNCLAIMED]
    assert acknowledged == [("a", CONSUMED)]


def test_a_lost_lease_takes_all_that_is_in_hand(board, buffer, acknowledged, caplog):
    jobs = post(board, "a", "b")
    buffer.exchange(2, 0)
    working = buffer.pop()
    board._claims.leases.close()
    buffer.clear()
    assert buffer.pop() is None
    buffer.complete(working, DONE)
    buffer.exchange(0, 0)
    assert (acknowledged, {job.state for job in jobs}) == ([], {st.CLAIMED})
    assert "has lost its claim" in caplog.text
    assert sorted(job.name for job in board.iterjobs(only_unclaimed=True)) == ["a", "b"]


def test_an_end_is_told_at_once_while_nobody_turns(board, buffer, acknowledged):
    """Several slots: a job ends while the conductor waits for more work, or for the last of its jobs."""
    (job,) = post(board, "a")
    buffer.exchange(1, 0)
    working = buffer.pop()
    waiting = threading.Thread(target=buffer.exchange, args=(1, LONG))
    waiting.start()
    buffer.complete(working, DONE)
    eventually(lambda: job.state == st.COMPLETE)
    assert acknowledged == [("a", CONSUMED)]
    board.post("b")
    waiting.join()
    buffer.end_exchanges()
    assert board.job_count == 1


def test_an_outcome_that_cannot_be_kept_does_not_hold_up_the_others(board, buffer, acknowledged):
    bad, good = post(board, "bad", "good")
    buffer.exchange(2, 0)
    buffer.complete(buffer.pop(), RunResult(CONSUMED, {"state": st.SUCCESS, "result": {"x": object()}}))
    buffer.complete(buffer.pop(), DONE)
    buffer.exchange(0, 0)
    assert (good.state, acknowledged) == (st.COMPLETE, [("good", CONSUMED)])
    buffer.exchange(0, 0)
    assert acknowledged[1:] == [("bad", CONSUMED)]
    with pytest.raises(exc.WrappedFailure, match=r"outcome cannot be stored.*object"):
        bad.result(0)


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("ahead", [1, 16])
def test_each_job_is_run_and_told_once(slots, ahead, tmp_path):
    ledger = tmp_path / "ledger"
    told = []
    with (
        stores.backend("memory") as store,
        boards.backend("work", f"memory://{uuid.uuid4()}", persistence=store) as board,
    ):
        given = {"ledger": str(ledger)}
        jobs = [post_flow(board, store, "tests.conductors.flows.good", store=given) for _ in range(40)]
        conductor = backends.fetch(
            "nonblocking", "me", board, persistence=store, max_simultaneous_jobs=slots, prefetch=ahead
        )
        conductor.notifier.register("job_consumed", lambda _, details: told.append(details["job"].uuid))
        conductor.run(max_dispatches=30)
        assert (board.job_count, len(told)) == (10, 30)
        assert {job.claims for job in board.iterjobs(only_unclaimed=True)} == {()}
        conductor.run(max_dispatches=10)
        assert Counter(told) == dict.fromkeys((job.uuid for job in jobs), 1)
        assert {job.state for job in jobs} == {st.COMPLETE}
    assert Counter(line.split()[0] for line in ledger.read_text().splitlines()) == {"a": 40, "b": 40}


@pytest.mark.timeout(120)
def test_a_job_that_kills_its_process_takes_no_neighbours_into_quarantine(office):
    """Those that were claimed with it are lost once; from then on each of them is claimed alone."""
    good = [office.post("good", priority="HIGH") for _ in range(10)]
    deadly = office.post("deadly")
    good += [office.post("good", priority="LOW") for _ in range(10)]
    for name in ("first", "second"):
        assert office.start(name, "--max-claims", "2").wait(LONG) == -signal.SIGKILL
    office.start("heir", "--max-claims", "2")
    for job in good:
        job.result(LONG)
    assert deadly.wait(LONG)
    assert [kept.uuid for kept in office.board.dead_letters] == [deadly.uuid]
    assert office.done().count(("b", "execute")) == 20
