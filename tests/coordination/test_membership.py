"""Membership: members are registered until their lease ends, and can be requested to drain."""

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.coordination.membership import Entity, Membership
from stackl_flow.kv import backends


@pytest.fixture
def kv():
    with backends.fetch("memory://") as kv:
        yield kv


@pytest.fixture
def membership(kv):
    return Membership(kv, "app/membership/")


def test_members_are_registered_until_their_lease_ends(kv, membership):
    lease = kv.grant(30.0)
    membership.register(Entity("worker", "a/1", {"pid": 7}), lease)
    membership.register(Entity("conductor", "c"), kv.grant(30.0))
    assert membership.members() == [Entity("conductor", "c"), Entity("worker", "a/1", {"pid": 7})]
    assert membership.members("worker") == [Entity("worker", "a/1", {"pid": 7})]
    kv.revoke(lease)
    assert membership.members("worker") == []


def test_a_drain_request_is_cleared_by_registering(kv, membership):
    lease = kv.grant(30.0)
    membership.register(Entity("conductor", "c"), lease)
    assert not membership.is_drain_requested("c")
    membership.request_drain("c")
    assert membership.is_drain_requested("c")
    membership.register(Entity("conductor", "c"), lease)
    assert not membership.is_drain_requested("c")


def test_only_members_can_be_drained(kv, membership):
    with pytest.raises(exc.NotFound, match="there are no members"):
        membership.request_drain("c")
    membership.register(Entity("conductor", "d"), kv.grant(30.0))
    with pytest.raises(exc.NotFound, match="no member 'c' is registered; registered members: d"):
        membership.request_drain("c")


def test_prefixes_are_separate(kv, membership):
    membership.register(Entity("conductor", "c"), kv.grant(30.0))
    assert Membership(kv, "other/membership/").members() == []
