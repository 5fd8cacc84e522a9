"""Prefetch: short jobs are claimed several at a time; none of them waits or is lost for that."""

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
    """Post jobs so that they are claimed in this order."""
    priorities = ("VERY_HIGH", "HIGH", "NORMAL", "LOW", "VERY_LOW")
    return [board.post(name, priority=each) for name, each in zip(names, priorities, strict=False)]


def test_claim_size_follows_the_duration_of_jobs():
    size = ClaimSize(20)
    assert size.limit(1) == 1, "no duration is known yet"
    for _ in range(50):
        size.record(PREFETCH_SECONDS / 10)
    assert (size.limit(1), size.limit(4)) == (pytest.approx(10, abs=1), 20)
    size.record(1.0)
    assert (size.limit(1), size.limit(4)) == (1, 4), "a slow job counts at once"
    size.record(0.0)
    assert size.limit(1) == 1, "a quick job counts gradually"
    single = ClaimSize(1)
    single.record(0.0)
    assert (single.limit(1), single.limit(3)) == (1, 3)


def test_results_go_to_the_board_with_the_next_claims(board, buffer, acknowledged):
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


def test_a_long_job_does_not_hold_up_others(board, open_buffer, acknowledged):
    jobs = post(board, "short", "long", "other", "third")
    buffer = open_buffer(0.5)
    buffer.exchange(4, 0)
    buffer.complete(buffer.pop(), DONE)
    buffer.pop()  # it runs for a long time
    eventually(lambda: jobs[0].state == st.COMPLETE)
    eventually(lambda: {job.state for job in jobs[2:]} == {st.UNCLAIMED})
    assert acknowledged == [("short", CONSUMED)]
    assert [board.find_owner(job) for job in jobs[1:]] == ["me", None, None]
    assert {job.claims for job in board.iterjobs(only_unclaimed=True)} == {()}, (
        "an unstarted claim is not in the history"
    )
    assert buffer.pop() is None
    close(buffer)


def test_a_job_is_not_started_after_start_by(board, open_buffer):
    """A process that was stopped and continued may have lost its claims."""
    (job,) = post(board, "a")
    buffer = open_buffer(0.0)
    buffer.exchange(1, 0)
    assert buffer.pop() is None
    buffer.exchange(0, 0)
    assert job.state == st.UNCLAIMED


def test_closing_gives_unstarted_jobs_back(board, buffer, acknowledged):
    jobs = post(board, "a", "b", "c")
    buffer.exchange(3, 0)
    buffer.complete(buffer.pop(), DONE)
    close(buffer)
    assert [job.state for job in jobs] == [st.COMPLETE, st.UNCLAIMED, st.UNCLAIMED]
    assert acknowledged == [("a", CONSUMED)]


def test_a_lost_lease_empties_the_buffer(board, buffer, acknowledged, caplog):
    jobs = post(board, "a", "b")
    buffer.exchange(2, 0)
    working = buffer.pop()
    board._claims.leases.close()
    buffer.clear()
    assert buffer.pop() is None
    buffer.complete(working, DONE)
    buffer.exchange(0, 0)
    assert (acknowledged, {job.state for job in jobs}) == ([("a", "lost")], {st.CLAIMED})
    assert "has lost its claim" in caplog.text
    assert sorted(job.name for job in board.iterjobs(only_unclaimed=True)) == ["a", "b"]


def test_a_result_is_passed_on_immediately_if_no_exchange_follows(board, buffer, acknowledged):
    """With several slots a job ends while the conductor waits for more jobs, or for the last of its runs."""
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


def test_an_outcome_that_cannot_be_stored_does_not_affect_the_others(board, buffer, acknowledged):
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
@pytest.mark.parametrize("prefetch", [1, 16])
def test_each_job_is_run_and_notified_once(slots, prefetch, tmp_path):
    log_file = tmp_path / "log_file"
    consumed = []
    with (
        stores.backend("memory") as store,
        boards.backend("work", f"memory://{uuid.uuid4()}", persistence=store) as board,
    ):
        inputs = {"log_file": str(log_file)}
        jobs = [post_flow(board, store, "tests.conductors.flows.good", store=inputs) for _ in range(40)]
        conductor = backends.fetch(
            "nonblocking", "me", board, persistence=store, max_simultaneous_jobs=slots, prefetch=prefetch
        )
        conductor.notifier.register("job_consumed", lambda _, details: consumed.append(details["job"].uuid))
        conductor.run(max_dispatches=30)
        assert (board.job_count, len(consumed)) == (10, 30)
        assert {job.claims for job in board.iterjobs(only_unclaimed=True)} == {()}
        conductor.run(max_dispatches=10)
        assert Counter(consumed) == dict.fromkeys((job.uuid for job in jobs), 1)
        assert {job.state for job in jobs} == {st.COMPLETE}
    assert Counter(line.split()[0] for line in log_file.read_text().splitlines()) == {"a": 40, "b": 40}


@pytest.mark.timeout(120)
def test_a_job_that_kills_its_process_does_not_affect_others(deployment):
    """Jobs that were claimed with it are lost once; from then on each of them is claimed alone."""
    good = [deployment.post("good", priority="HIGH") for _ in range(10)]
    deadly = deployment.post("deadly")
    good += [deployment.post("good", priority="LOW") for _ in range(10)]
    for name in ("first", "second"):
        assert deployment.start(name, "--max-claims", "2").wait(LONG) == -signal.SIGKILL
    deployment.start("third", "--max-claims", "2")
    for job in good:
        job.result(LONG)
    assert deadly.wait(LONG)
    assert [dead.uuid for dead in deployment.board.dead_letters] == [deadly.uuid]
    assert deployment.done().count(("b", "execute")) == 20
