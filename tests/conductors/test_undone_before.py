"""A conductor may die after a flow was undone, and before the board has heard of it: it is not run again."""

import pytest

from stackl_flow import engines
from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.conductors import Conductor, backends
from stackl_flow.kv import backends as places
from stackl_flow.kv.items import Lease
from stackl_flow.persistence.models import LogBook

ONCE = [("a", "execute"), ("a", "revert")]


def lose(office):
    """End the leases of all who claim, as the place does when they have died."""
    with places.fetch(office.address) as kv:
        for item in kv.list("work/owner/"):
            kv.revoke(Lease(item.lease, 1.0))


def run_as_conductors_do(job, store):
    (flow,) = job.book
    engines.load_from_detail(flow, backend=store).run()


@pytest.fixture
def conductor(office):
    return backends.fetch("blocking", "second", office.board, persistence=office.store)


def test_whoever_has_the_job_next_only_tells_the_board(conductor, office):
    posted = office.post("bad")
    job = office.board.claim(next(office.board.iterjobs()), "first")
    with pytest.raises(ValueError, match="no such site"):
        run_as_conductors_do(job, office.store)
    lose(office)
    conductor.run(max_dispatches=1)
    assert office.done() == ONCE
    assert office.board.get_snapshot(posted).outcome["outcome"]["state"] == st.REVERTED
    with pytest.raises(exc.WrappedFailure, match="no such site"):
        posted.result(0)


def test_a_flow_that_was_undone_under_another_job_is_run_again(conductor, office):
    first = office.post("bad")
    conductor.run(max_dispatches=1)
    second = office.board.post("again", LogBook("job", first.book_uuid), dict(first.details))
    conductor.run(max_dispatches=1)
    assert office.done() == 2 * ONCE
    assert second.state == st.COMPLETE


def test_so_it_is_if_its_first_conductor_died_before_he_began(conductor, office):
    first = office.post("bad")
    conductor.run(max_dispatches=1)
    office.board.post("again", LogBook("job", first.book_uuid), dict(first.details))
    office.board.claim(next(office.board.iterjobs()), "first")
    lose(office)
    conductor.run(max_dispatches=1)
    assert office.done() == 2 * ONCE


class LateConductor(Conductor):
    """Comes to run a job only when it has lost it, and another has had it and ended it."""

    office = other = None

    def _engine_from_job(self, job):
        engine = super()._engine_from_job(job)
        lose(self.office)
        self.other.run(max_dispatches=1)
        return engine


def test_one_who_comes_late_leaves_it_undone(conductor, office):
    posted = office.post("bad")
    late = LateConductor("late", office.board, office.store)
    late.office, late.other = office, conductor
    late.run(max_dispatches=1)
    assert office.done() == ONCE
    with pytest.raises(exc.WrappedFailure, match="no such site"):
        posted.result(0)
