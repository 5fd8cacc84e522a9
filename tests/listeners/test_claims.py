"""A flow is suspended when its job is no longer claimed by its owner."""

import logging
from dataclasses import dataclass

import pytest

from stackl_flow import LinearFlow, states
from stackl_flow import exceptions as exc
from stackl_flow.jobboards import backends
from stackl_flow.listeners.claims import CheckingClaimListener
from stackl_flow.testing.clock import SteppedClock
from tests.engines.tasks import Step


class Changes(Step):
    """Calls a function while it runs."""

    def __init__(self, name, log, change):
        super().__init__(name, log)
        self.change = change

    def execute(self, **kwargs):
        self.change()
        return super().execute(**kwargs)


class BoardProxy:
    """A proxy for a board that can raise an exception.

    Args:
        board: the board.
    """

    def __init__(self, board):
        self.board = board
        self.error = None

    def find_owner(self, job):
        if self.error is not None:
            raise self.error
        return self.board.find_owner(job)

    def get_snapshot(self, job):
        return self.board.get_snapshot(job)


class OwnersOnly:
    """A board that only has ``find_owner``, as TaskFlow's."""

    def __init__(self, board):
        self.find_owner = board.find_owner


@dataclass
class Work:
    """A job that is claimed by "me"."""

    board: object
    proxy: BoardProxy
    job: object
    clock: SteppedClock


@pytest.fixture
def work(clock):
    with backends.backend("jobs", "memory", clock=clock) as board:
        job = board.post("job")
        board.claim(job, "me")
        yield Work(board, BoardProxy(board), job, clock)


def run_with_listener(load, log, work, change, **kwargs):
    """Run a flow whose second task changes the board."""
    flow = LinearFlow("f").add(Step("a", log), Changes("b", log, change), Step("c", log), Step("d", log))
    engine = load(flow)
    with CheckingClaimListener(engine, work.job, work.proxy, "me", **kwargs):
        engine.run()
    return engine


def abandoned(work):
    work.board.abandon(work.job, "me")


def claimed_anew(work):
    """Claim it again under the same name through another object: another run of it may have started."""
    (job,) = work.board.iterjobs()
    work.board.abandon(job, "me")
    (again,) = work.board.iterjobs(only_unclaimed=True)
    work.board.claim(again, "me")


def claimed_by_another(work):
    work.board.abandon(work.job, "me")
    work.board.claim(work.job, "you")


def lapsed(work):
    work.clock.step(3600.0)


def consumed(work):
    work.board.consume(work.job, "me")


def unreadable(work):
    work.proxy.error = exc.JobFailure("its data cannot be read")


@pytest.mark.parametrize(
    "change", [abandoned, claimed_anew, claimed_by_another, lapsed, consumed, unreadable]
)
def test_engine_is_suspended_when_the_claim_is_lost(load, log, work, change, caplog):
    engine = run_with_listener(load, log, work, lambda: change(work))
    assert engine.storage.get_flow_state() == states.SUSPENDED
    assert log == ["a", "b"]
    assert f"job '{work.job}' is no longer claimed by 'me'" in caplog.messages


def test_board_with_find_owner_only(load, log, work):
    work.proxy = OwnersOnly(work.board)
    assert (
        run_with_listener(load, log, work, lambda: claimed_anew(work)).storage.get_flow_state()
        == states.SUCCESS
    )
    work.job = work.board.claim(work.board.post("another"), "me")
    engine = run_with_listener(load, log, work, lambda: claimed_by_another(work))
    assert engine.storage.get_flow_state() == states.SUSPENDED


def test_flow_continues_while_the_claim_holds(load, log, work, caplog):
    with caplog.at_level(logging.DEBUG):
        engine = run_with_listener(load, log, work, lambda: None)
    assert engine.storage.get_flow_state() == states.SUCCESS
    assert caplog.messages.count(f"job '{work.job}' is still claimed by 'me'") == 10


def test_on_job_loss_replaces_the_suspension(load, log, work):
    calls = []
    engine = run_with_listener(
        load, log, work, lambda: abandoned(work),
        on_job_loss=lambda *args: calls.append((args[0], args[1], args[2].get("task_name"))),
    )  # fmt: skip
    assert engine.storage.get_flow_state() == states.SUCCESS
    assert calls[0] == (engine, "SUCCESS", "b")
    assert calls[-1] == (engine, "SUCCESS", None)


def test_unreachable_board_is_not_a_lost_claim(load, log, work, caplog):
    def cut_off():
        work.proxy.error = ConnectionError("no route")

    engine = run_with_listener(load, log, work, cut_off)
    assert engine.storage.get_flow_state() == states.SUCCESS
    lines = [line for line in caplog.messages if "raised ConnectionError" in line]
    assert len(lines) == 2  # once for the task receiver, once for the flow receiver


def test_failed_suspension_is_logged(load, log, work, caplog):
    class NotSuspendable:
        """An engine that cannot be suspended."""

        def __init__(self, engine):
            self.notifier, self.atom_notifier = engine.notifier, engine.atom_notifier

        def suspend(self):
            raise exc.InvalidState("not now")

    engine = load(Step("a", log))
    abandoned(work)
    with CheckingClaimListener(NotSuspendable(engine), work.job, work.board, "me"):
        engine.run()
    assert engine.storage.get_flow_state() == states.SUCCESS
    assert any("could not suspend" in line and "not now" in line for line in caplog.messages)


def test_on_job_loss_must_be_callable(load, log, work):
    with pytest.raises(ValueError, match="must be callable, not 1"):
        CheckingClaimListener(load(Step("a", log)), work.job, work.board, "me", on_job_loss=1)
