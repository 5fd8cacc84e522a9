"""A conductor may die after a flow was reverted and before it consumes the job: the flow is not run again."""

import pytest

from stackl_flow import engines
from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.conductors import Conductor, backends
from stackl_flow.kv import backends as kv_backends
from stackl_flow.kv.items import Lease
from stackl_flow.persistence.models import LogBook

ONCE = [("a", "execute"), ("a", "revert")]


def lose(deployment):
    """End the leases of all owners, as the store does when they have died."""
    with kv_backends.fetch(deployment.address) as kv:
        for item in kv.list("work/owner/"):
            kv.revoke(Lease(item.lease, 1.0))


def run_as_conductors_do(job, store):
    (flow,) = job.book
    engines.load_from_detail(flow, backend=store).run()


@pytest.fixture
def conductor(deployment):
    return backends.fetch("blocking", "second", deployment.board, persistence=deployment.store)


def test_the_next_owner_only_consumes_the_job(conductor, deployment):
    posted = deployment.post("bad")
    job = deployment.board.claim(next(deployment.board.iterjobs()), "first")
    with pytest.raises(ValueError, match="no such site"):
        run_as_conductors_do(job, deployment.store)
    lose(deployment)
    conductor.run(max_dispatches=1)
    assert deployment.done() == ONCE
    assert deployment.board.get_snapshot(posted).outcome["outcome"]["state"] == st.REVERTED
    with pytest.raises(exc.WrappedFailure, match="no such site"):
        posted.result(0)


def test_a_flow_that_was_reverted_for_another_job_runs_again(conductor, deployment):
    first = deployment.post("bad")
    conductor.run(max_dispatches=1)
    second = deployment.board.post("again", LogBook("job", first.book_uuid), dict(first.details))
    conductor.run(max_dispatches=1)
    assert deployment.done() == 2 * ONCE
    assert second.state == st.COMPLETE


def test_it_runs_again_if_the_first_owner_of_that_job_died_before_it_started(conductor, deployment):
    first = deployment.post("bad")
    conductor.run(max_dispatches=1)
    deployment.board.post("again", LogBook("job", first.book_uuid), dict(first.details))
    deployment.board.claim(next(deployment.board.iterjobs()), "first")
    lose(deployment)
    conductor.run(max_dispatches=1)
    assert deployment.done() == 2 * ONCE


class LateConductor(Conductor):
    """Loses its claim before it runs the job, which another conductor ends meanwhile."""

    deployment = other = None

    def _engine_from_job(self, job):
        engine = super()._engine_from_job(job)
        lose(self.deployment)
        self.other.run(max_dispatches=1)
        return engine


def test_a_late_conductor_leaves_it_reverted(conductor, deployment):
    posted = deployment.post("bad")
    late = LateConductor("late", deployment.board, deployment.store)
    late.deployment, late.other = deployment, conductor
    late.run(max_dispatches=1)
    assert deployment.done() == ONCE
    with pytest.raises(exc.WrappedFailure, match="no such site"):
        posted.result(0)
