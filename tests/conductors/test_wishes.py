"""What users of TaskFlow's boards had to build themselves."""

from __future__ import annotations

import logging
import threading

import pytest

from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.conductors import backends
from stackl_flow.jobboards import backends as boards
from tests.conductors.conftest import Office
from tests.conductors.test_takeover import LONG, eventually

SECRET = "correct horse battery staple"  # noqa: S105  it is to be looked for in logs


@pytest.fixture
def office(tmp_path):
    office = Office(tmp_path, f"sqlite:///{tmp_path}/board.db")
    yield office
    office.close()


@pytest.fixture
def conductor(office):
    return backends.fetch("blocking", "me", office.board, persistence=office.store)


def test_a_claim_ends_with_its_owner_though_nobody_asked_for_that(office):
    """With TaskFlow's Redis board a claim lasts for ever unless a time is given with it."""
    first = office.start("first")
    job = office.post("slow", store={"seconds": 30})
    eventually(lambda: office.board.find_owner(job) == "first")
    first.kill()
    eventually(lambda: office.board.find_owner(job) is None)
    assert next(office.board.wait(LONG)).uuid == job.uuid


def test_the_poster_gets_the_result_or_the_failure(conductor, office):
    running = threading.Thread(target=conductor.run)
    running.start()
    try:
        assert office.post("good").result(LONG)["second"] == "b"
        with pytest.raises(exc.WrappedFailure, match="no such site"):
            office.post("bad").result(LONG)
    finally:
        conductor.stop()
        running.join()


def test_jobs_go_to_who_can_do_them(office):
    """Whoever lacks an ability neither gets such a job nor is held up by it."""
    gpu = office.post("good", required_capabilities=["gpu", "linux"], priority="VERY_HIGH")
    plain = office.post("good", priority="VERY_LOW")

    def run(name, can):
        backends.fetch("blocking", name, office.board, persistence=office.store, capabilities=can).run(1)

    run("half", ["linux"])
    assert (gpu.state, plain.state) == (st.UNCLAIMED, st.COMPLETE)
    run("able", ["linux", "gpu", "tpu"])
    assert gpu.state == st.COMPLETE


def test_nobody_owns_a_job_that_nobody_claims(office):
    job = office.post("good")
    assert office.board.find_owner(job) is None
    office.board.claim(job, "me")
    assert office.board.find_owner(job) == "me"
    office.board.abandon(job, "me")
    assert office.board.find_owner(job) is None


@pytest.mark.parametrize("kind", ["blocking", "nonblocking"])
@pytest.mark.parametrize("limit", [0, 1, 3])
def test_so_many_dispatches_and_not_one_more(kind, limit, office):
    for _ in range(5):
        office.post("good")
    backends.fetch(kind, "me", office.board, persistence=office.store).run(max_dispatches=limit)
    assert office.board.job_count == 5 - limit
    assert len(office.done()) == 2 * limit


def test_what_a_job_was_given_is_in_no_log_of_ours(conductor, office, caplog):
    """Neither board nor conductor ever writes what is in a job's store, in whatever way it ends."""
    caplog.set_level(logging.DEBUG)
    for factory in ("good", "bad"):
        office.post(factory, store={"password": SECRET})
    conductor.run(max_dispatches=2)
    lost = office.post("good", store={"password": SECRET})
    office.board.claim(lost, "me")
    office.board.trash(lost, "me", "not wanted")
    assert "no such site" in caplog.text
    assert SECRET not in caplog.text
    assert SECRET not in repr(lost)


@pytest.mark.parametrize("factory", ["good", "bad"])
def test_the_books_of_consumed_jobs_are_removed_if_that_is_wanted(factory, office):
    kept, gone = office.post(factory), office.post(factory)
    plain = backends.fetch("blocking", "keeps", office.board, persistence=office.store)
    tidy = backends.fetch("blocking", "tidy", office.board, persistence=office.store, retention=0)
    plain.run(max_dispatches=1)
    tidy.run(max_dispatches=1)
    with office.store.get_connection() as connection:
        assert [book.uuid for book in connection.get_logbooks()] == [kept.book_uuid]
    assert gone.wait(0)  # its outcome is on the board all the same
    assert office.board.get_snapshot(gone).outcome["outcome"]["state"] in {st.SUCCESS, st.REVERTED}


def test_the_book_of_a_job_that_goes_back_stays(tmp_path, office):
    job = office.post("slow", store={"seconds": 0.3})
    tidy = backends.fetch("blocking", "tidy", office.board, persistence=office.store, retention=0)
    tidy.notifier.register("running_start", lambda *_, **__: tidy.stop())
    tidy.run()
    assert job.state == st.UNCLAIMED
    with boards.backend("work", office.address, persistence=office.store) as board:
        assert next(board.iterjobs()).book.uuid == job.book_uuid
