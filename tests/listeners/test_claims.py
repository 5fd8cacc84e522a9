"""A flow stops when the job that it is run for is no longer claimed by its owner."""

import logging

import pytest

from stackl_flow import LinearFlow, states
from stackl_flow import exceptions as exc
from stackl_flow.listeners.claims import CheckingClaimListener
from tests.engines.tasks import Step


class Board:
    """Who has claimed what, and what happens when one asks."""

    def __init__(self):
        self.owners = {"job": "me"}
        self.error = None

    def find_owner(self, job):
        if self.error is not None:
            raise self.error
        return self.owners.get(job.name)


class Job:
    """One job on that board."""

    name = "job"

    def __init__(self, board):
        self.board = board

    @property
    def state(self):
        return states.CLAIMED if self.board.find_owner(self) else states.UNCLAIMED

    def __str__(self):
        return self.name


class Loses(Step):
    """Something happens on the board while it runs."""

    def __init__(self, name, log, happens):
        super().__init__(name, log)
        self.happens = happens

    def execute(self, **kwargs):
        self.happens()
        return super().execute(**kwargs)


@pytest.fixture
def board():
    return Board()


def watched(load, log, board, happens, **kwargs):
    """Run a flow in whose second task something happens on the board."""
    flow = LinearFlow("f").add(Step("a", log), Loses("b", log, happens), Step("c", log), Step("d", log))
    engine = load(flow)
    with CheckingClaimListener(engine, Job(board), board, "me", **kwargs):
        engine.run()
    return engine


def unclaimed(board):
    board.owners.clear()


def claimed_by_another(board):
    board.owners["job"] = "you"


def gone(board):
    board.error = exc.NotFound("no such job")


def broken(board):
    board.error = exc.JobFailure("its data cannot be read")


@pytest.mark.parametrize("happens", [unclaimed, claimed_by_another, gone, broken])
def test_the_engine_is_suspended_when_the_claim_is_lost(load, log, board, happens, caplog):
    engine = watched(load, log, board, lambda: happens(board))
    assert engine.storage.get_flow_state() == states.SUSPENDED
    assert log == ["a", "b"]
    assert "job 'job' is no longer claimed by 'me'" in caplog.messages


def test_the_flow_goes_on_while_the_claim_holds(load, log, board, caplog):
    with caplog.at_level(logging.DEBUG):
        engine = watched(load, log, board, lambda: None)
    assert engine.storage.get_flow_state() == states.SUCCESS
    assert caplog.messages.count("job 'job' is still claimed by 'me'") == 10


def test_somebody_else_may_say_what_is_done(load, log, board):
    told = []
    engine = watched(
        load, log, board, lambda: unclaimed(board),
        on_job_loss=lambda *args: told.append((args[0], args[1], args[2].get("task_name"))),
    )  # fmt: skip
    assert engine.storage.get_flow_state() == states.SUCCESS
    assert told[0] == (engine, "SUCCESS", "b")
    assert told[-1] == (engine, "SUCCESS", None)


def test_a_board_that_cannot_be_reached_is_no_lost_claim(load, log, board, caplog):
    def cut_off():
        board.error = ConnectionError("no route")

    engine = watched(load, log, board, cut_off)
    assert engine.storage.get_flow_state() == states.SUCCESS
    lines = [line for line in caplog.messages if "raised ConnectionError" in line]
    assert len(lines) == 2  # once for the receiver of tasks, once for that of the flow


def test_that_the_engine_cannot_be_suspended_is_told(load, log, board, caplog):
    class Stubborn:
        """An engine that takes no pause."""

        def __init__(self, engine):
            self.notifier, self.atom_notifier = engine.notifier, engine.atom_notifier

        def suspend(self):
            raise exc.InvalidState("not now")

    engine = load(Step("a", log))
    board.owners.clear()
    with CheckingClaimListener(Stubborn(engine), Job(board), board, "me"):
        engine.run()
    assert engine.storage.get_flow_state() == states.SUCCESS
    assert any("could not suspend" in line and "not now" in line for line in caplog.messages)


def test_what_is_done_must_be_callable(load, log, board):
    with pytest.raises(ValueError, match="must be callable, not 1"):
        CheckingClaimListener(load(Step("a", log)), Job(board), board, "me", on_job_loss=1)
