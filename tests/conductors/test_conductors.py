"""Conductors in one process: how jobs end, stages, stop, drain, hooks."""

from __future__ import annotations

import threading

import pytest

from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.conductors import backends
from stackl_flow.coordination.membership import Entity
from stackl_flow.persistence.models import FlowDetail, LogBook
from stackl_flow.submission import post_flow
from tests.conductors import flows

LONG = 30.0
FLOWS = "tests.conductors.flows."


@pytest.fixture(params=["blocking", "nonblocking"])
def conductor(request, deployment):
    return backends.fetch(request.param, "me", deployment.board, persistence=deployment.store)


def test_a_flow_that_succeeds_is_consumed_with_its_result(conductor, deployment):
    job = deployment.post("good")
    conductor.run(max_dispatches=1)
    assert job.state == st.COMPLETE
    assert job.result(0) == {"log_file": str(deployment.log_file), "first": "a", "second": "b"}
    assert deployment.board.job_count == 0


def test_a_flow_that_fails_is_reverted_and_consumed_with_its_failure(conductor, deployment):
    job = deployment.post("bad")
    conductor.run(max_dispatches=1)
    with pytest.raises(exc.WrappedFailure, match="no such site"):
        job.result(0)
    assert deployment.done() == [("a", "execute"), ("a", "revert")]
    assert deployment.board.get_snapshot(job).outcome["outcome"]["state"] == st.REVERTED


def test_a_job_without_a_flow_becomes_a_dead_letter(conductor, deployment):
    empty = LogBook("empty")
    several = LogBook("several")
    for name in ("one", "two"):
        several.add(FlowDetail(name, f"00000000-0000-4000-8000-0000000000{name}0"))
    with deployment.store.get_connection() as connection:
        connection.save_logbook(empty)
        connection.save_logbook(several)
    deployment.board.post("no book")
    deployment.board.post("empty", empty)
    deployment.board.post("several", several)
    deployment.board.post("other", several, {"flow_uuid": "unknown"})
    conductor.run(max_dispatches=4)
    reasons = {record.name: record.reason for record in deployment.board.dead_letters}
    assert "has no logbook" in reasons["no book"]
    assert "is empty" in reasons["empty"]
    assert "has 2 flows: name one as 'flow_uuid'" in reasons["several"]
    assert "no flow 'unknown'" in reasons["other"]


def test_a_factory_that_cannot_be_imported(conductor, deployment, monkeypatch):
    """The job is left to other conductors, with the reason in its history."""
    job = deployment.post("good")
    monkeypatch.delattr(flows, "good")
    conductor.run(max_dispatches=1)
    (claim,) = deployment.board.get_snapshot(job).record.claims
    assert (claim.owner, claim.ended) == ("me", "declined")
    assert claim.reason.startswith("FactoryNotFound: ")
    assert "has no 'good'" in claim.reason
    monkeypatch.undo()
    backends.fetch("blocking", "other", deployment.board, persistence=deployment.store).run(max_dispatches=1)
    assert job.result(0)["second"] == "b"


def test_max_dispatches(conductor, deployment):
    for _ in range(5):
        deployment.post("good")
    conductor.run(max_dispatches=0)
    assert deployment.done() == []
    conductor.run(max_dispatches=3)
    assert deployment.board.job_count == 2


def test_events(conductor, deployment):
    received = []
    conductor.notifier.register("*", lambda event, details: received.append((event, details["job"].name)))
    deployment.post("good", name="mine")
    conductor.run(max_dispatches=1)
    stages = ("compilation", "preparation", "validation", "running")
    wanted = [f"{stage}_{end}" for stage in stages for end in ("start", "end")] + ["job_consumed"]
    assert received == [(event, "mine") for event in wanted]


def test_stop_suspends_running_flows_and_releases_their_jobs(conductor, deployment):
    job = deployment.post("slow", store={"seconds": 0.5})
    running = threading.Thread(target=conductor.run)
    begun = threading.Event()
    conductor.notifier.register("running_start", lambda *_, **__: begun.set())
    running.start()
    assert begun.wait(LONG)
    assert conductor.dispatching
    with pytest.raises(exc.ConductorFailure, match="already running"):
        conductor.run()
    conductor.stop()
    assert conductor.wait(LONG)
    running.join()
    assert (job.state, deployment.board.get_snapshot(job).record.claims[-1].ended) == (
        st.UNCLAIMED,
        "released",
    )
    conductor.run(max_dispatches=1)
    assert deployment.done() == [("a", "execute"), ("b", "execute")]


def test_stop_before_run(conductor, deployment):
    job = deployment.post("good")
    conductor.stop()
    assert conductor.stopping
    conductor.run()
    assert job.state == st.UNCLAIMED
    conductor.run(max_dispatches=1)
    assert job.state == st.COMPLETE


def test_capabilities(deployment):
    gpu = deployment.post("good", required_capabilities=["gpu"], priority="HIGH")
    plain = deployment.post("good")
    backends.fetch("blocking", "plain", deployment.board, persistence=deployment.store, capabilities=[]).run(
        max_dispatches=1
    )
    assert (gpu.state, plain.state) == (st.UNCLAIMED, st.COMPLETE)
    able = backends.fetch(
        "blocking", "able", deployment.board, persistence=deployment.store, capabilities=["gpu"]
    )
    able.run(max_dispatches=1)
    assert gpu.state == st.COMPLETE


def test_registration(conductor, deployment):
    conductor.run(max_dispatches=0)
    (entity,) = deployment.board.membership.members("conductor")
    assert isinstance(entity, Entity)
    assert (entity.name, set(entity.metadata)) == ("me", {"hostname", "pid", "slots"})


def test_drain(conductor, deployment):
    running = threading.Thread(target=conductor.run)
    running.start()
    deployment.post("good").result(LONG)
    deployment.board.membership.request_drain("me")
    assert conductor.wait(LONG)
    running.join()
    conductor.run(max_dispatches=0)  # registering clears the request
    assert not deployment.board.membership.is_drain_requested("me")


def test_hooks_are_called_for_each_job(deployment):
    class Mine(backends.fetch("blocking", "x", deployment.board).__class__):
        def _engine_from_job(self, job):
            engines.append(job.name)
            return super()._engine_from_job(job)

    engines = []
    deployment.post("good", name="one")
    Mine("mine", deployment.board, deployment.store).run(max_dispatches=1)
    assert engines == ["one"]


def test_a_flow_that_cannot_be_posted_leaves_no_job(deployment):
    with pytest.raises(exc.FactoryNotFound, match="no 'nowhere'"):
        post_flow(deployment.board, deployment.store, FLOWS + "nowhere")
    with pytest.raises(exc.NotSerializable, match="'thing'"):
        deployment.post("good", store={"thing": object()})
    assert deployment.board.job_count == 0


def test_an_unknown_kind_of_conductor(deployment):
    with pytest.raises(exc.NotFound, match="blocking, nonblocking"):
        backends.fetch("lazy", "x", deployment.board)
