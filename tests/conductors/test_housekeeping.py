"""Logbooks of consumed jobs: removed at once, after a time, or kept."""

import math

import pytest

from stackl_flow import engines
from stackl_flow.conductors import Conductor
from stackl_flow.jobboards import backends as boards
from stackl_flow.persistence import backends as stores
from stackl_flow.persistence.models import LogBook
from stackl_flow.persistence.retention import RetentionPolicy
from stackl_flow.submission import post_flow
from stackl_flow.testing.clock import SteppedClock
from tests.conductors import flows

DAY = 86_400.0
FLOWS = "tests.conductors.flows"


@pytest.fixture
def clock():
    return SteppedClock()


@pytest.fixture
def backend(clock):
    with stores.backend("memory", clock=clock) as backend:
        yield backend


@pytest.fixture
def board(backend):
    with boards.backend("board", "memory://", persistence=backend) as board:  # its leases live in real time
        yield board


def run(board, backend, retention, jobs=1):
    """Run some jobs; the conductor also looks round once before each."""
    engine = {"clock": backend.clock}
    conductor = Conductor("ann", board, backend, engine_options=engine, retention=retention)
    conductor.run(max_dispatches=jobs)


def left(backend):
    with backend.get_connection() as connection:
        return sorted(book.name for book in connection.get_logbooks(lazy=True))


@pytest.fixture
def post(board, backend, tmp_path):
    def post(name, factory="good", **terms):
        store = {"ledger": str(tmp_path / "ledger")}
        return post_flow(board, backend, f"{FLOWS}.{factory}", name=name, store=store, **terms)

    return post


def test_all_are_kept_unless_it_is_said(board, backend, post):
    post("one")
    run(board, backend, retention=None)
    assert left(backend) == ["one"]


def test_at_once(board, backend, post):
    job = post("one")
    run(board, backend, retention=0)
    assert left(backend) == []
    assert job.result(0)["ledger"]


def test_after_a_time(board, backend, post, clock):
    post("one")
    post("two")
    run(board, backend, 7 * DAY, jobs=2)
    assert left(backend) == ["one", "two"]
    clock.step(7 * DAY - 1)
    post("three")
    run(board, backend, 7 * DAY)
    assert left(backend) == ["one", "three", "two"]
    clock.step(2)
    post("four")
    run(board, backend, 7 * DAY)
    assert left(backend) == ["four", "three"]


def test_failed_ones_for_another_time(board, backend, post, clock):
    post("well")
    post("badly", "bad")
    keep = RetentionPolicy(0.0, failed_max_age=DAY)
    run(board, backend, keep, jobs=2)
    assert left(backend) == ["badly"]
    clock.step(DAY)
    post("next")
    run(board, backend, keep)
    assert left(backend) == []
    post("for ever", "bad")
    run(board, backend, RetentionPolicy(0.0, failed_max_age=math.inf))
    clock.step(1000 * DAY)
    post("next")
    run(board, backend, RetentionPolicy(0.0, failed_max_age=math.inf))
    assert left(backend) == ["for ever"]


def test_the_newest_stay(board, backend, post, clock):
    for number in range(4):
        clock.step(1)
        post(f"job {number}")
        run(board, backend, RetentionPolicy(keep_newest=2))
    assert left(backend) == ["job 1", "job 2", "job 3"]  # looked round before the last was run


def test_books_of_others_stay(board, backend, post, clock):
    """What was not posted with a job, or is on the board still, is not a conductor's business."""
    flows_of_mine = stores_a_book_of_its_own(backend)
    waiting = post("waiting", not_before=4e9)
    with backend.get_connection() as connection:  # its flow ended, but nobody has consumed it
        detail = connection.get_flow_details(waiting.details["flow_uuid"])
        detail.state = "SUCCESS"
        connection.update_flow_details(detail)
    clock.step(10 * DAY)
    post("one")
    run(board, backend, DAY)
    assert left(backend) == ["mine", "one", "waiting"]
    assert flows_of_mine


def stores_a_book_of_its_own(backend):
    return engines.run(flows.good(), {"ledger": "/dev/null"}, book=LogBook("mine"), backend=backend)


def test_what_cannot_be_a_rule_is_refused(board, backend):
    for wrong in ("7d", [1], True):
        with pytest.raises(TypeError, match="RetentionPolicy"):
            Conductor("ann", board, backend, retention=wrong)
    for wrong in (-1.0, RetentionPolicy):
        with pytest.raises((ValueError, TypeError)):
            Conductor("ann", board, backend, retention=wrong)


def test_posting_again_under_a_key_leaves_no_second_book(backend, post):
    first, again = post("one", key="k"), post("one", key="k")
    assert first.uuid == again.uuid
    assert left(backend) == ["one"]
