"""What a conductor makes of a job, in one process."""

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
def conductor(request, office):
    return backends.fetch(request.param, "me", office.board, persistence=office.store)


def test_a_flow_that_succeeds_is_consumed_with_its_result(conductor, office):
    job = office.post("good")
    conductor.run(max_dispatches=1)
    assert job.state == st.COMPLETE
    assert job.result(0) == {"ledger": str(office.ledger), "first": "a", "second": "b"}
    assert office.board.job_count == 0


def test_a_flow_that_fails_is_undone_and_consumed_with_its_failure(conductor, office):
    job = office.post("bad")
    conductor.run(max_dispatches=1)
    with pytest.raises(exc.WrappedFailure, match="no such site"):
        job.result(0)
    assert office.done() == [("a", "execute"), ("a", "revert")]
    assert office.board.get_snapshot(job).outcome["outcome"]["state"] == st.REVERTED


def test_a_job_without_a_flow_goes_to_the_bin_with_the_reason(conductor, office):
    empty = LogBook("empty")
    several = LogBook("several")
    for name in ("one", "two"):
        several.add(FlowDetail(name, f"00000000-0000-4000-8000-0000000000{name}0"))
    with office.store.get_connection() as connection:
        connection.save_logbook(empty)
        connection.save_logbook(several)
    office.board.post("no book")
    office.board.post("empty", empty)
    office.board.post("several", several)
    office.board.post("other", several, {"flow_uuid": "nobody"})
    conductor.run(max_dispatches=4)
    reasons = {posting.name: posting.reason for posting in office.board.dead_letters}
    assert "has no logbook" in reasons["no book"]
    assert "has no flow in it" in reasons["empty"]
    assert "has 2 flows: name one as 'flow_uuid'" in reasons["several"]
    assert "no flow 'nobody'" in reasons["other"]


def test_a_factory_that_cannot_be_imported_there(conductor, office, monkeypatch):
    job = office.post("good")
    monkeypatch.delattr(flows, "good")
    conductor.run(max_dispatches=1)
    with pytest.raises(exc.JobFailure, match=r"trashed: FactoryNotFound.*has no 'good'"):
        job.result(0)
    monkeypatch.undo()
    office.board.dead_letters.requeue(job.uuid)
    conductor.run(max_dispatches=1)
    assert job.result(0)["second"] == "b"


def test_exactly_so_many_dispatches(conductor, office):
    for _ in range(5):
        office.post("good")
    conductor.run(max_dispatches=0)
    assert office.done() == []
    conductor.run(max_dispatches=3)
    assert office.board.job_count == 2


def test_stages_and_ends_are_told(conductor, office):
    heard = []
    conductor.notifier.register("*", lambda event, details: heard.append((event, details["job"].name)))
    office.post("good", name="mine")
    conductor.run(max_dispatches=1)
    stages = ("compilation", "preparation", "validation", "running")
    wanted = [f"{stage}_{end}" for stage in stages for end in ("start", "end")] + ["job_consumed"]
    assert heard == [(event, "mine") for event in wanted]


def test_stopped_it_suspends_what_runs_and_gives_it_back(conductor, office):
    job = office.post("slow", store={"seconds": 0.5})
    running = threading.Thread(target=conductor.run)
    begun = threading.Event()
    conductor.notifier.register("running_start", lambda *_, **__: begun.set())
    running.start()
    assert begun.wait(LONG)
    assert conductor.dispatching
    with pytest.raises(exc.ConductorFailure, match="running already"):
        conductor.run()
    conductor.stop()
    assert conductor.wait(LONG)
    running.join()
    assert (job.state, office.board.get_snapshot(job).record.claims[-1].ended) == (st.UNCLAIMED, "released")
    conductor.run(max_dispatches=1)
    assert office.done() == [("a", "execute"), ("b", "execute")]


def test_stopped_before_it_runs(conductor, office):
    job = office.post("good")
    conductor.stop()
    assert conductor.stopping
    conductor.run()
    assert job.state == st.UNCLAIMED
    conductor.run(max_dispatches=1)
    assert job.state == st.COMPLETE


def test_it_takes_only_what_it_can_do(office):
    gpu = office.post("good", required_capabilities=["gpu"], priority="HIGH")
    plain = office.post("good")
    backends.fetch("blocking", "plain", office.board, persistence=office.store, capabilities=[]).run(
        max_dispatches=1
    )
    assert (gpu.state, plain.state) == (st.UNCLAIMED, st.COMPLETE)
    able = backends.fetch("blocking", "able", office.board, persistence=office.store, capabilities=["gpu"])
    able.run(max_dispatches=1)
    assert gpu.state == st.COMPLETE


def test_it_is_known_to_the_board(conductor, office):
    conductor.run(max_dispatches=0)
    (entity,) = office.board.membership.members("conductor")
    assert isinstance(entity, Entity)
    assert (entity.name, set(entity.metadata)) == ("me", {"hostname", "pid", "slots"})


def test_drained_from_elsewhere_it_stops(conductor, office):
    running = threading.Thread(target=conductor.run)
    running.start()
    office.post("good").result(LONG)
    office.board.membership.request_drain("me")
    assert conductor.wait(LONG)
    running.join()
    conductor.run(max_dispatches=0)  # begun anew it is not drained any more
    assert not office.board.membership.is_drain_requested("me")


def test_hooks_are_asked_for_each_job(office):
    class Mine(backends.fetch("blocking", "x", office.board).__class__):
        def _engine_from_job(self, job):
            engines.append(job.name)
            return super()._engine_from_job(job)

    engines = []
    office.post("good", name="one")
    Mine("mine", office.board, office.store).run(max_dispatches=1)
    assert engines == ["one"]


def test_a_flow_that_cannot_be_posted_leaves_nothing(office):
    with pytest.raises(exc.FactoryNotFound, match="no 'nowhere'"):
        post_flow(office.board, office.store, FLOWS + "nowhere")
    with pytest.raises(exc.NotSerializable, match="'thing'"):
        post_flow(office.board, office.store, FLOWS + "good", store={"thing": object()})
    assert office.board.job_count == 0


def test_an_unknown_kind_of_conductor(office):
    with pytest.raises(exc.NotFound, match="blocking, nonblocking"):
        backends.fetch("lazy", "x", office.board)
