"""Short jobs are claimed some at a time: nothing waits for it, nothing is lost by it."""

from __future__ import annotations

import signal
import threading
import uuid
from collections import Counter

import pytest

from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.conductors import backends, post_flow
from stackl_flow.conductors.job_runner import Fate, Verdict
from stackl_flow.conductors.prefetch import SPELL, Desk, Pace
from stackl_flow.jobboards import backends as boards
from stackl_flow.persistence import backends as stores
from tests.conductors.test_takeover import LONG, eventually

DONE = Verdict(Fate.CONSUME, {"state": st.SUCCESS, "result": {}})


@pytest.fixture
def board():
    with boards.backend("work", f"memory://{uuid.uuid4()}") as board:
        yield board


@pytest.fixture
def landed():
    return []


def close(desk):
    desk.close(threading.Event(), 0.01)


@pytest.fixture
def open_desk(board, landed):
    def open_it(patience):
        return Desk(board, "me", None, lambda job, verdict: landed.append((job.name, verdict.fate)), patience)

    return open_it


@pytest.fixture
def desk(open_desk):
    desk = open_desk(LONG)
    yield desk
    close(desk)


def post(board, *names):
    """Post jobs so that they come in this order."""
    priorities = ("VERY_HIGH", "HIGH", "NORMAL", "LOW", "VERY_LOW")
    return [board.post(name, priority=each) for name, each in zip(names, priorities, strict=False)]


def test_so_many_jobs_are_claimed_as_are_done_in_a_moment():
    pace = Pace(20)
    assert pace.jobs(1) == 1, "nothing is known yet"
    for _ in range(50):
        pace.took(SPELL / 10)
    assert (pace.jobs(1), pace.jobs(4)) == (pytest.approx(10, abs=1), 20)
    pace.took(1.0)
    assert (pace.jobs(1), pace.jobs(4)) == (1, 4), "a slow one counts at once"
    pace.took(0.0)
    assert pace.jobs(1) == 1, "a quick one little by little"
    careful = Pace(1)
    careful.took(0.0)
    assert (careful.jobs(1), careful.jobs(3)) == (1, 3)


def test_ends_go_to_the_board_with_the_next_claims(board, desk, landed):
    first, second, third = post(board, "a", "b", "c")
    desk.turn(2, 0)
    a, b = desk.next(), desk.next()
    assert (a.name, b.name, desk.next()) == ("a", "b", None)
    desk.finished(a, DONE)
    desk.finished(b, Verdict(Fate.TRASH, {"reason": "no such site"}))
    desk.turn(5, 0)
    assert landed == [("a", Fate.CONSUME), ("b", Fate.TRASH)]
    assert [job.state for job in (first, second, third)] == [st.COMPLETE, st.COMPLETE, st.CLAIMED]
    assert desk.next().name == "c"


def test_nothing_in_hand_waits_for_a_long_job(board, open_desk, landed):
    jobs = post(board, "short", "long", "other", "third")
    desk = open_desk(0.5)
    desk.turn(4, 0)
    desk.finished(desk.next(), DONE)
    desk.next()  # and it takes its time
    eventually(lambda: jobs[0].state == st.COMPLETE)
    eventually(lambda: {job.state for job in jobs[2:]} == {st.UNCLAIMED})
    assert landed == [("short", Fate.CONSUME)]
    assert [board.find_owner(job) for job in jobs[1:]] == ["me", None, None]
    assert {job.claims for job in board.iterjobs(only_unclaimed=True)} == {()}, "that leaves no trace"
    assert desk.next() is None
    close(desk)


def test_what_was_claimed_too_long_ago_is_not_begun(board, open_desk):
    """A process that was stopped and continued may have lost its claims meanwhile."""
    (job,) = post(board, "a")
    desk = open_desk(0.0)
    desk.turn(1, 0)
    assert desk.next() is None
    desk.turn(0, 0)
    assert job.state == st.UNCLAIMED


def test_what_is_in_hand_at_the_end_goes_back(board, desk, landed):
    jobs = post(board, "a", "b", "c")
    desk.turn(3, 0)
    desk.finished(desk.next(), DONE)
    close(desk)
    assert [job.state for job in jobs] == [st.COMPLETE, st.UNCLAIMED, st.UNCLAIMED]
    assert landed == [("a", Fate.CONSUME)]


def test_a_lost_lease_takes_all_that_is_in_hand(board, desk, landed, caplog):
    jobs = post(board, "a", "b")
    desk.turn(2, 0)
    working = desk.next()
    board._claims.leases.close()
    desk.lost()
    assert desk.next() is None
    desk.finished(working, DONE)
    desk.turn(0, 0)
    assert (landed, {job.state for job in jobs}) == ([], {st.CLAIMED})
    assert "does not hold" in caplog.text
    assert sorted(job.name for job in board.iterjobs(only_unclaimed=True)) == ["a", "b"]


def test_an_end_is_told_at_once_while_nobody_turns(board, desk, landed):
    """Several slots: a job ends while the conductor waits for more work, or for the last of its jobs."""
    (job,) = post(board, "a")
    desk.turn(1, 0)
    working = desk.next()
    waiting = threading.Thread(target=desk.turn, args=(1, LONG))
    waiting.start()
    desk.finished(working, DONE)
    eventually(lambda: job.state == st.COMPLETE)
    assert landed == [("a", Fate.CONSUME)]
    board.post("b")
    waiting.join()
    desk.leave()
    assert board.job_count == 1


def test_an_outcome_that_cannot_be_kept_does_not_hold_up_the_others(board, desk, landed):
    bad, good = post(board, "bad", "good")
    desk.turn(2, 0)
    desk.finished(desk.next(), Verdict(Fate.CONSUME, {"state": st.SUCCESS, "result": {"x": object()}}))
    desk.finished(desk.next(), DONE)
    desk.turn(0, 0)
    assert (good.state, landed) == (st.COMPLETE, [("good", Fate.CONSUME)])
    desk.turn(0, 0)
    assert landed[1:] == [("bad", Fate.CONSUME)]
    with pytest.raises(exc.WrappedFailure, match=r"without an outcome.*object"):
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
            "nonblocking", "me", board, persistence=store, max_simultaneous_jobs=slots, claims_ahead=ahead
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
    assert [kept.uuid for kept in office.board.bin] == [deadly.uuid]
    assert office.done().count(("b", "execute")) == 20
