"""Writes to a locked file are retried after some seconds."""

import contextlib
import logging
import sqlite3

import pytest

import stackl_flow
from stackl_flow import exceptions as exc
from stackl_flow import states, task
from stackl_flow.persistence import backends, models
from stackl_flow.testing.clock import SteppedClock
from stackl_flow.testing.contracts.persistence import atom_update, checkpoint, with_tasks


class Clock(SteppedClock):
    """Records sleeps, and calls a function during some of them."""

    def __init__(self):
        super().__init__()
        self.slept = []
        self.meanwhile = {}

    def sleep(self, seconds):
        super().sleep(seconds)
        self.slept.append(seconds)
        self.meanwhile.get(len(self.slept), lambda: None)()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "flows.db"


@pytest.fixture
def backend(path, clock):
    with backends.backend(f"sqlite:///{path}?timeout=0.01", clock=clock) as backend:
        yield backend


@pytest.fixture
def lock(path, backend):
    """Return a function that locks the file, and returns one that unlocks it."""
    with contextlib.ExitStack() as at_end:

        def take():
            held = at_end.enter_context(contextlib.closing(sqlite3.connect(path, isolation_level=None)))
            held.execute("BEGIN IMMEDIATE")
            return held.rollback

        yield take


def names(backend):
    with backend.get_connection() as conn:
        return [book.name for book in conn.get_logbooks()]


def test_a_retry_delays_until_the_file_is_free(backend, clock, lock, path, caplog):
    clock.meanwhile[2] = lock()
    with caplog.at_level(logging.WARNING, "stackl_flow"), backend.get_connection() as conn:
        conn.save_logbook(models.LogBook("late"))

    assert names(backend) == ["late"]
    assert clock.slept == [5.0, 5.0]
    first, second = (record.getMessage() for record in caplog.records)
    assert first.startswith("attempt 1 of 3 failed, next in 5 seconds: ")
    assert str(path) in first
    assert "is locked" in first
    assert second.startswith("attempt 2 of 3")


def test_the_third_failure_is_raised(backend, clock, lock):
    lock()
    with backend.get_connection() as conn, pytest.raises(exc.StorageFailure, match="is locked"):
        conn.save_logbook(models.LogBook("never"))

    assert clock.slept == [5.0, 5.0]
    assert names(backend) == []


def test_a_checkpoint_is_applied_once(backend, clock, lock):
    flow, (one,) = with_tasks(backend, 1)
    with backend.get_connection() as conn:
        epoch = conn.take_ownership(flow.uuid, "me", 1.0)
        clock.meanwhile[1] = lock()
        moves = [(one.name, None, states.RUNNING, 2.0)]
        conn.checkpoint(checkpoint(flow, epoch, [atom_update(one, states.RUNNING, None)], moves))

        assert clock.slept == [5.0]
        assert [line.new for line in conn.get_history(flow.uuid)] == [states.RUNNING]
        assert conn.get_atom_details(one.uuid).state == states.RUNNING


def test_a_flow_survives_a_locked_file(backend, clock, lock):
    class Step(task.Task):
        default_provides = "x"

        def execute(self):
            clock.meanwhile[1] = lock()
            return 7

    assert stackl_flow.engines.run(Step(), backend=backend) == {"x": 7}
    assert clock.slept == [5.0]


def test_readers_do_not_wait(backend, clock, lock):
    lock()
    assert names(backend) == []
    assert clock.slept == []


def test_permanent_errors_are_not_retried(backend, clock):
    flow, (one,) = with_tasks(backend, 1)
    with backend.get_connection() as conn:
        conn.take_ownership(flow.uuid, "me", 1.0)
        with pytest.raises(exc.OwnershipLost):
            conn.checkpoint(checkpoint(flow, 0, [atom_update(one, states.RUNNING, None)]))
        with pytest.raises(exc.NotFound):
            conn.destroy_logbook("no such book")

    assert clock.slept == []


def test_attempts_and_delay_are_options(path, clock, lock):
    address = f"sqlite:///{path}?timeout=0.01&max_attempts=4&retry_delay=0.5"
    lock()
    other = backends.fetch(address, clock=clock)
    with other.get_connection() as conn, pytest.raises(exc.StorageFailure, match="is locked"):
        conn.clear_all()

    assert clock.slept == [0.5, 0.5, 0.5]


@pytest.mark.parametrize("options", ["max_attempts=0", "retry_delay=-1"])
def test_invalid_options(path, options):
    with pytest.raises(exc.InvalidFormat, match=options.partition("=")[0]):
        backends.fetch(f"sqlite:///{path}?{options}")
