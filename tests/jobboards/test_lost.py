"""A claim that was lost is over, also for one who has the same job again under the same name."""

import pytest

from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.coordination.membership import Entity
from stackl_flow.jobboards import backends
from stackl_flow.jobboards.base import Completion
from stackl_flow.kv import backends as places
from stackl_flow.kv.items import Lease


@pytest.fixture
def address(tmp_path):
    return f"dir://{tmp_path}/board"


@pytest.fixture
def board(address):
    with backends.backend("work", address) as board:
        yield board


def lose(address):
    """End the leases of all who claim, as the place does with one that is not extended."""
    with places.fetch(address) as kv:
        for item in kv.list("work/owner/"):
            kv.revoke(Lease(item.lease, 1.0))


@pytest.mark.parametrize("how", ["abandon", "consume", "trash", "extend"])
def test_only_the_later_of_two_claims_under_one_name_counts(how, board, address):
    """A conductor with several slots may get back a job that it works on still, from a claim it lost."""
    board.post("one")
    early = board.claim(next(board.iterjobs()), "me")
    lose(address)
    later = board.claim(next(board.iterjobs()), "me")
    with pytest.raises(exc.JobFailure, match="claimed again under the same name"):
        getattr(board, how)(early, "me")
    assert board.find_owner(later) == "me"
    board.consume(later, "me")
    assert later.state == st.COMPLETE


def test_a_claim_may_be_ended_through_another_object_for_the_job(board):
    posted = board.post("one")
    board.claim(next(board.iterjobs()), "me")
    board.consume(posted, "me")
    assert posted.state == st.COMPLETE


def test_an_object_whose_claim_has_ended_serves_for_the_next(board):
    board.post("one")
    job = board.claim(next(board.iterjobs()), "me")
    board.abandon(job, "me")
    board.claim(next(board.iterjobs()), "me")
    board.consume(job, "me")
    assert board.job_count == 0


def test_a_turn_that_ends_a_lost_claim_and_finds_the_same_job_free(board, address):
    board.post("one")
    early = board.claim(next(board.iterjobs()), "me")
    lose(address)
    assert [job.uuid for job in board.iterjobs(only_unclaimed=True)] == [early.uuid]  # nobody told him yet
    turn = board.complete_and_claim("me", [Completion(early, "consumed")], limit=1)
    assert [late.completion.job for late in turn.rejected] == [early]
    (later,) = turn.jobs
    assert board.find_owner(later) == "me"


def test_who_loses_a_lease_is_told_when_he_claims_on(board, address):
    lost = []
    board.on_lease_lost(lost.append)
    for number in range(2):
        board.post(f"job {number}")
    board.claim(next(board.iterjobs()), "me")
    lose(address)
    board.claim(next(board.iterjobs(only_unclaimed=True)), "me")
    assert lost == ["me"]


def test_late_news_of_a_lost_lease_leave_claims_on_the_next_one_alone(board, address):
    """A heart may say that a lease was lost when there is another by now."""
    board.post("one")
    board.claim(next(board.iterjobs()), "me")
    lose(address)
    later = board.claim(next(board.iterjobs()), "me")
    board._lease_lost("me")
    board.consume(later, "me")
    assert later.state == st.COMPLETE


def test_who_registers_on_a_lease_that_was_lost_gets_another(board, address):
    board.post("one")
    board.claim(next(board.iterjobs()), "me")
    lose(address)
    board.register_entity(Entity("conductor", "me"))
    assert [entity.name for entity in board.membership.members()] == ["me"]
