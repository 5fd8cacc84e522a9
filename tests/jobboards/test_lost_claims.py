"""A lost claim is over, also for an owner that has claimed the same job again under the same name."""

import pytest

from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.coordination.membership import Entity
from stackl_flow.jobboards import backends
from stackl_flow.jobboards.base import JobCompletion
from stackl_flow.kv import backends as kv_backends
from stackl_flow.kv.items import Lease


@pytest.fixture
def address(tmp_path):
    return f"dir://{tmp_path}/board"


@pytest.fixture
def board(address):
    with backends.backend("work", address) as board:
        yield board


def lose(address):
    """End the leases of all owners, as the store does with one that is not extended."""
    with kv_backends.fetch(address) as kv:
        for item in kv.list("work/owner/"):
            kv.revoke(Lease(item.lease, 1.0))


@pytest.mark.parametrize("method", ["abandon", "consume", "trash", "extend"])
def test_only_the_later_of_two_claims_under_one_name_counts(method, board, address):
    """A conductor with several slots may claim again a job that it still runs under a claim that it lost."""
    board.post("one")
    early = board.claim(next(board.iterjobs()), "me")
    lose(address)
    later = board.claim(next(board.iterjobs()), "me")
    with pytest.raises(exc.JobFailure, match="claimed again under the same name"):
        getattr(board, method)(early, "me")
    assert board.find_owner(later) == "me"
    board.consume(later, "me")
    assert later.state == st.COMPLETE


def test_a_claim_may_be_ended_through_another_object_for_the_job(board):
    posted = board.post("one")
    board.claim(next(board.iterjobs()), "me")
    board.consume(posted, "me")
    assert posted.state == st.COMPLETE


def test_an_object_whose_claim_has_ended_can_be_used_for_the_next(board):
    board.post("one")
    job = board.claim(next(board.iterjobs()), "me")
    board.abandon(job, "me")
    board.claim(next(board.iterjobs()), "me")
    board.consume(job, "me")
    assert board.job_count == 0


def test_a_batch_that_ends_a_lost_claim_and_claims_the_same_job(board, address):
    board.post("one")
    early = board.claim(next(board.iterjobs()), "me")
    lose(address)
    assert [job.uuid for job in board.iterjobs(only_unclaimed=True)] == [
        early.uuid
    ]  # the owner has not noticed
    batch = board.complete_and_claim("me", [JobCompletion(early, "consumed")], limit=1)
    assert [late.completion.job for late in batch.rejected] == [early]
    (later,) = batch.jobs
    assert board.find_owner(later) == "me"


def test_a_lost_lease_is_noticed_by_the_next_claim(board, address):
    lost = []
    board.on_lease_lost(lost.append)
    for number in range(2):
        board.post(f"job {number}")
    board.claim(next(board.iterjobs()), "me")
    lose(address)
    board.claim(next(board.iterjobs(only_unclaimed=True)), "me")
    assert lost == ["me"]


def test_a_late_report_of_a_lost_lease_does_not_affect_the_next_one(board, address):
    """The heartbeat may report a lost lease after the owner was granted another."""
    board.post("one")
    board.claim(next(board.iterjobs()), "me")
    lose(address)
    later = board.claim(next(board.iterjobs()), "me")
    board._lease_lost("me")
    board.consume(later, "me")
    assert later.state == st.COMPLETE


def test_registering_on_a_lost_lease_is_granted_another(board, address):
    board.post("one")
    board.claim(next(board.iterjobs()), "me")
    lose(address)
    board.register_entity(Entity("conductor", "me"))
    assert [entity.name for entity in board.membership.members()] == ["me"]
