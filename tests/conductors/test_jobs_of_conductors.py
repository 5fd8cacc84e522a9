"""What applications on TaskFlow's boards have to build: results, capabilities, limits, retention."""

from __future__ import annotations

import logging
import threading

import pytest

from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.conductors import backends
from stackl_flow.jobboards import backends as boards
from tests.conductors.conftest import Deployment
from tests.conductors.test_takeover import LONG, eventually

SECRET = "correct horse battery staple"  # noqa: S105  the test looks for it in logs


@pytest.fixture
def deployment(tmp_path):
    deployment = Deployment(tmp_path, f"sqlite:///{tmp_path}/board.db")
    yield deployment
    deployment.close()


@pytest.fixture
def conductor(deployment):
    return backends.fetch("blocking", "me", deployment.board, persistence=deployment.store)


def test_a_claim_ends_with_its_owner(deployment):
    """With TaskFlow's Redis board a claim without an expiry lasts for ever."""
    first = deployment.start("first")
    job = deployment.post("slow", store={"seconds": 30})
    eventually(lambda: deployment.board.find_owner(job) == "first")
    first.kill()
    eventually(lambda: deployment.board.find_owner(job) is None)
    assert next(deployment.board.wait(LONG)).uuid == job.uuid


def test_result_returns_the_values_or_raises_the_failure(conductor, deployment):
    running = threading.Thread(target=conductor.run)
    running.start()
    try:
        assert deployment.post("good").result(LONG)["second"] == "b"
        with pytest.raises(exc.WrappedFailure, match="no such site"):
            deployment.post("bad").result(LONG)
    finally:
        conductor.stop()
        running.join()


def test_jobs_go_to_capable_conductors(deployment):
    """A conductor without a capability does not get such a job, and is not blocked by it."""
    gpu = deployment.post("good", required_capabilities=["gpu", "linux"], priority="VERY_HIGH")
    plain = deployment.post("good", priority="VERY_LOW")

    def run(name, capabilities):
        backends.fetch(
            "blocking", name, deployment.board, persistence=deployment.store, capabilities=capabilities
        ).run(1)

    run("partly", ["linux"])
    assert (gpu.state, plain.state) == (st.UNCLAIMED, st.COMPLETE)
    run("able", ["linux", "gpu", "tpu"])
    assert gpu.state == st.COMPLETE


def test_an_unclaimed_job_has_no_owner(deployment):
    job = deployment.post("good")
    assert deployment.board.find_owner(job) is None
    deployment.board.claim(job, "me")
    assert deployment.board.find_owner(job) == "me"
    deployment.board.abandon(job, "me")
    assert deployment.board.find_owner(job) is None


@pytest.mark.parametrize("kind", ["blocking", "nonblocking"])
@pytest.mark.parametrize("limit", [0, 1, 3])
def test_max_dispatches(kind, limit, deployment):
    for _ in range(5):
        deployment.post("good")
    backends.fetch(kind, "me", deployment.board, persistence=deployment.store).run(max_dispatches=limit)
    assert deployment.board.job_count == 5 - limit
    assert len(deployment.done()) == 2 * limit


def test_inputs_are_not_logged(conductor, deployment, caplog):
    """Neither the board nor the conductor logs what is in a job's store, however it ends."""
    caplog.set_level(logging.DEBUG)
    for factory in ("good", "bad"):
        deployment.post(factory, store={"password": SECRET})
    conductor.run(max_dispatches=2)
    trashed = deployment.post("good", store={"password": SECRET})
    deployment.board.claim(trashed, "me")
    deployment.board.trash(trashed, "me", "not wanted")
    assert "no such site" in caplog.text
    assert SECRET not in caplog.text
    assert SECRET not in repr(trashed)


@pytest.mark.parametrize("factory", ["good", "bad"])
def test_logbooks_of_consumed_jobs_are_deleted_on_request(factory, deployment):
    kept, deleted = deployment.post(factory), deployment.post(factory)
    plain = backends.fetch("blocking", "keeps", deployment.board, persistence=deployment.store)
    tidy = backends.fetch("blocking", "tidy", deployment.board, persistence=deployment.store, retention=0)
    plain.run(max_dispatches=1)
    tidy.run(max_dispatches=1)
    with deployment.store.get_connection() as connection:
        assert [book.uuid for book in connection.get_logbooks()] == [kept.book_uuid]
    assert deleted.wait(0)  # its outcome stays on the board
    assert deployment.board.get_snapshot(deleted).outcome["outcome"]["state"] in {st.SUCCESS, st.REVERTED}


def test_the_logbook_of_a_released_job_stays(tmp_path, deployment):
    job = deployment.post("slow", store={"seconds": 0.3})
    tidy = backends.fetch("blocking", "tidy", deployment.board, persistence=deployment.store, retention=0)
    tidy.notifier.register("running_start", lambda *_, **__: tidy.stop())
    tidy.run()
    assert job.state == st.UNCLAIMED
    with boards.backend("work", deployment.address, persistence=deployment.store) as board:
        assert next(board.iterjobs()).book.uuid == job.book_uuid
