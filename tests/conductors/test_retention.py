"""Retention of the logbooks of consumed jobs: deleted at once, after a time, or kept."""

import math

import pytest

from stackl_flow import engines
from stackl_flow import exceptions as exc
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
    with boards.backend("board", "memory://", persistence=backend) as board:  # its leases follow real time
        yield board


def run(board, backend, retention, jobs=1):
    """Run some jobs; the conductor also applies its retention policy before each."""
    engine = {"clock": backend.clock}
    conductor = Conductor("ann", board, backend, engine_options=engine, retention=retention)
    conductor.run(max_dispatches=jobs)


def remaining(backend):
    with backend.get_connection() as connection:
        return sorted(book.name for book in connection.get_logbooks(lazy=True))


@pytest.fixture
def post(board, backend, tmp_path):
    def post(name, factory="good", **options):
        store = {"log_file": str(tmp_path / "log_file")}
        return post_flow(board, backend, f"{FLOWS}.{factory}", name=name, store=store, **options)

    return post


def test_none_keeps_all(board, backend, post):
    post("one")
    run(board, backend, retention=None)
    assert remaining(backend) == ["one"]


def test_zero_deletes_at_once(board, backend, post):
    job = post("one")
    run(board, backend, retention=0)
    assert remaining(backend) == []
    assert job.result(0)["log_file"]


def test_seconds(board, backend, post, clock):
    post("one")
    post("two")
    run(board, backend, 7 * DAY, jobs=2)
    assert remaining(backend) == ["one", "two"]
    clock.step(7 * DAY - 1)
    post("three")
    run(board, backend, 7 * DAY)
    assert remaining(backend) == ["one", "three", "two"]
    clock.step(2)
    post("four")
    run(board, backend, 7 * DAY)
    assert remaining(backend) == ["four", "three"]


def test_another_age_for_failed_flows(board, backend, post, clock):
    post("good one")
    post("bad one", "bad")
    policy = RetentionPolicy(0.0, failed_max_age=DAY)
    run(board, backend, policy, jobs=2)
    assert remaining(backend) == ["bad one"]
    clock.step(DAY)
    post("next")
    run(board, backend, policy)
    assert remaining(backend) == []
    post("kept", "bad")
    run(board, backend, RetentionPolicy(0.0, failed_max_age=math.inf))
    clock.step(1000 * DAY)
    post("next")
    run(board, backend, RetentionPolicy(0.0, failed_max_age=math.inf))
    assert remaining(backend) == ["kept"]


def test_the_newest_are_kept(board, backend, post, clock):
    for number in range(4):
        clock.step(1)
        post(f"job {number}")
        run(board, backend, RetentionPolicy(keep_newest=2))
    assert remaining(backend) == ["job 1", "job 2", "job 3"]  # applied before the last was run


def test_other_logbooks_are_kept(board, backend, post, clock):
    """Logbooks that were not posted with a job, or whose job is on the board, are not deleted."""
    store_logbook_without_job(backend)
    waiting = post("waiting", not_before=4e9)
    with backend.get_connection() as connection:  # its flow ended, but the job is not consumed
        detail = connection.get_flow_details(waiting.details["flow_uuid"])
        detail.state = "SUCCESS"
        connection.update_flow_details(detail)
    clock.step(10 * DAY)
    post("one")
    run(board, backend, DAY)
    assert remaining(backend) == ["mine", "one", "waiting"]


def store_logbook_without_job(backend):
    engines.run(flows.good(), {"log_file": "/dev/null"}, book=LogBook("mine"), backend=backend)


def test_invalid_retention(board, backend):
    for wrong in ("7d", [1], True):
        with pytest.raises(TypeError, match="RetentionPolicy"):
            Conductor("ann", board, backend, retention=wrong)
    for wrong in (-1.0, RetentionPolicy):
        with pytest.raises((ValueError, TypeError)):
            Conductor("ann", board, backend, retention=wrong)


def test_posting_again_under_a_key_leaves_no_second_logbook(backend, post):
    first, again = post("one", key="k"), post("one", key="k")
    assert first.uuid == again.uuid
    assert remaining(backend) == ["one"]


def test_the_logbook_of_a_dead_letter_stays(backend, clock, tmp_path):
    """Also when its outcome has expired: it can be requeued."""
    conf = {"connection": f"memory://{tmp_path.name}", "outcome_retention": 10.0}
    with boards.backend("board", conf, persistence=backend, clock=clock) as board:
        store = {"log_file": str(tmp_path / "log_file")}
        job = post_flow(board, backend, f"{FLOWS}.good", name="dead", store=store)
        with backend.get_connection() as connection:
            (flow,) = connection.get_logbook(job.book_uuid)
        engines.load_from_detail(flow, backend=backend, clock=clock).run()
        board.trash(board.claim(next(board.iterjobs()), "me"), "me", "not wanted")
        clock.step(2 * DAY)
        list(board.iterjobs())
        with pytest.raises(exc.NotFound):
            board.get_snapshot(job)
        conductor = Conductor("ann", board, backend, retention=DAY)
        conductor._retention.run()
        assert remaining(backend) == ["dead"]
        board.dead_letters.discard(job.uuid)
        clock.step(DAY)
        conductor._retention.run()
        assert remaining(backend) == []
