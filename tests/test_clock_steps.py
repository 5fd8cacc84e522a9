"""The wall clock is set back or forward, by an administrator or a time server, while flows and jobs run.

Only what is defined by the wall clock may depend on it: due times, expiry of jobs, and times that are shown.
"""

from __future__ import annotations

import itertools
import threading
import uuid
from typing import Any

import pytest

from stackl_flow import engines, retry, task
from stackl_flow.conductors import backends as conductors
from stackl_flow.jobboards import backends as boards
from stackl_flow.listeners.timing import DurationListener
from stackl_flow.patterns import linear_flow
from stackl_flow.persistence import backends, factory
from stackl_flow.submission import post_flow
from stackl_flow.testing.clock import SteppedClock

HOUR = 3600.0
STEPS = pytest.mark.parametrize("step", [-HOUR, HOUR, -0.001])


class StepClock(task.Task):
    """Sets the wall clock while it runs."""

    def __init__(self, name: str, clock: SteppedClock, step: float, *, fails: bool = False) -> None:
        super().__init__(name, provides=name)
        self.clock, self.seconds, self.fails = clock, step, fails

    def execute(self) -> str:
        self.clock.step(1.0)
        self.clock.step_wall(self.seconds)
        if self.fails:
            raise ValueError(self.name)
        return self.name

    def revert(self, **_: Any) -> None:
        self.clock.step_wall(-self.seconds)


@pytest.fixture(params=["memory", "sqlite", "directory"])
def url(request, tmp_path):
    return {
        "memory": f"memory://{uuid.uuid4().hex}",
        "sqlite": f"sqlite:///{tmp_path}/store.db",
        "directory": f"dir://{tmp_path}/store",
    }[request.param]


@STEPS
@pytest.mark.parametrize("fails", [False, True])
def test_a_flow_and_its_history_keep_their_order(step: float, fails: bool, url: str) -> None:
    clock = SteppedClock()
    with backends.backend(url, clock=clock) as backend:
        inner = linear_flow.Flow("inner", retry=retry.Times(2)).add(
            StepClock("b", clock, step), StepClock("c", clock, step, fails=fails)
        )
        flow = linear_flow.Flow("flow").add(StepClock("a", clock, step), inner)
        engine = engines.load(flow, backend=backend, clock=clock)
        if fails:
            with pytest.raises(ValueError, match="c"):
                engine.run()
        else:
            engine.run()
        assert engine.storage.get_flow_state() == ("REVERTED" if fails else "SUCCESS")
        with backend.get_connection() as connection:
            history = connection.get_history(engine.storage.flow_uuid)
    last: dict[str | None, str | None] = {}
    for transition in history:
        assert transition.old == last.get(transition.atom, transition.old)
        last[transition.atom] = transition.new
    assert [each.seq for each in history] == sorted(each.seq for each in history)


@STEPS
def test_durations_are_not_measured_by_the_wall_clock(step: float, url: str) -> None:
    clock = SteppedClock()
    with backends.backend(url) as backend:
        flow = linear_flow.Flow("flow").add(StepClock("a", clock, step))
        book = factory.temporary_log_book(backend)
        detail = factory.create_flow_detail(flow, book, backend)
        engine = engines.load(flow, backend=backend, book=book, flow_detail=detail, clock=clock)
        with DurationListener(engine):
            engine.run()
        with backend.get_connection() as connection:
            stored = connection.get_flow_details(detail.uuid)
    durations = [atom.meta["duration"] for atom in stored if "duration" in atom.meta]
    assert durations
    assert all(0 <= duration < HOUR / 2 for duration in durations)


@STEPS
def test_a_waiting_job_is_claimed_and_ended(step: float, url: str) -> None:
    clock = SteppedClock()
    with boards.backend("work", url, clock=clock) as board:
        job = board.post("one")
        clock.step_wall(step)
        assert [each.uuid for each in board.iterjobs(only_unclaimed=True)] == [job.uuid]
        board.claim(job, "me")
        clock.step_wall(-step)
        board.consume(job, "me", {"result": 1})
        assert board.get_snapshot(job).state == "succeeded"
        assert job.result(1) == 1


@STEPS
def test_jobs_that_are_given_back_can_be_claimed_at_once(step: float, url: str) -> None:
    clock = SteppedClock()
    with boards.backend("work", url, clock=clock) as board:
        board.post("one")
        for _ in range(3):
            job = board.claim(next(board.iterjobs(only_unclaimed=True)), "me")
            clock.step_wall(step)
            board.abandon(job, "me", counts=False)


def test_a_scheduled_job_is_due_by_the_wall_clock(url: str) -> None:
    clock = SteppedClock()
    with boards.backend("work", url, clock=clock) as board:
        board.post("later", not_before=clock.now() + 60)
        assert not list(board.iterjobs(only_unclaimed=True))
        clock.step_wall(HOUR)
        (job,) = board.iterjobs(only_unclaimed=True)
        clock.step_wall(-2 * HOUR)  # a job that is due stays due
        assert [each.uuid for each in board.iterjobs(only_unclaimed=True)] == [job.uuid]
        board.consume(board.claim(job, "me"), "me")


def test_a_schedule_waits_again_if_the_clock_is_set_back_before_it_is_due(url: str) -> None:
    clock = SteppedClock()
    with boards.backend("work", url, clock=clock) as board:
        board.post("later", not_before=clock.now() + 60)
        clock.step_wall(-HOUR)
        clock.step(61)
        assert not list(board.iterjobs(only_unclaimed=True))
        clock.step(HOUR)
        assert len(list(board.iterjobs(only_unclaimed=True))) == 1


@STEPS
def test_outcomes_are_kept(step: float, url: str) -> None:
    """Setting the clock forward by less than the retention deletes no outcome."""
    clock = SteppedClock()
    with boards.backend("work", {"connection": url, "outcome_retention": 2 * HOUR}, clock=clock) as board:
        jobs = []
        for number in itertools.count():
            jobs.append(board.post(f"job {number}"))
            board.consume(board.claim(jobs[-1], "me"), "me", {"result": number})
            if number == 2:
                break
            clock.step_wall(step / 4)
        list(board.iterjobs())
        assert [job.result(1) for job in jobs] == [0, 1, 2]


def make_flow() -> Any:
    return linear_flow.Flow("flow").add(retry_task())


def retry_task() -> Any:
    return task.FunctorTask(lambda: "done", name="only", provides="only")


@pytest.mark.parametrize("step", [-HOUR, HOUR])
def test_a_conductor_runs_jobs_while_the_clock_is_set(step: float, url: str) -> None:
    """A board by a clock that is set between posting and claiming, and during the run."""
    clock = SteppedClock()
    with (
        backends.backend(f"memory://{uuid.uuid4().hex}", clock=clock) as flows,
        boards.backend("work", url, persistence=flows, clock=clock) as board,
    ):
        conductor = conductors.fetch("blocking", "me", board, persistence=flows, wait_timeout=0.02)
        running = threading.Thread(target=conductor.run)
        running.start()
        try:
            for _ in range(4):
                job = post_flow(board, flows, "tests.test_clock_steps:make_flow")
                clock.step_wall(step)
                assert job.result(30) == {"only": "done"}
        finally:
            conductor.stop()
            running.join()
