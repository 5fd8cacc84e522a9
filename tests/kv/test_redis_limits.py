"""A Redis server that is full, and users with no more rights than the documentation says."""

import re
import threading
import uuid
from pathlib import Path

import pytest
import redis

from stackl_flow import exceptions as exc
from stackl_flow.jobboards import backends as boards
from stackl_flow.kv import backends
from stackl_flow.kv.items import ABSENT, Check, Put

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "backends.md"


@pytest.fixture
def server(new_server):
    return new_server("redis")


@pytest.fixture
def admin(server):
    with redis.Redis.from_url(server.url, decode_responses=True) as admin:
        yield admin


def test_leases_of_a_full_server_are_extended_and_revoked(server, admin):
    with backends.fetch(server.url) as kv:
        lease, other = kv.grant(60), kv.grant(60)
        kv.commit(puts=[Put("a", "1"), Put("leased", "1", lease.id)])
        kv.commit(puts=[Put("theirs", "1", other.id)])
        admin.config_set("maxmemory", 1)
        kv.extend(lease)
        with pytest.raises(exc.StorageFailure, match="maxmemory"):
            kv.commit(puts=[Put("b", "1")])
        with pytest.raises(exc.StorageFailure, match="maxmemory"):
            kv.grant(60)
        kv.revoke(other)
        assert [item.key for item in kv.list()] == ["a", "leased"]
        kv.commit(deletes=["a"])
        with pytest.raises(exc.LeaseLost):
            kv.extend(other)
        admin.config_set("maxmemory", 0)
        kv.commit(puts=[Put("b", "1")])


def test_jobs_on_a_full_server_are_kept_and_released(server, admin):
    """Claims outlive their lease's duration while the server is full, and can be given up and consumed."""
    with boards.fetch("b", {"board": server.url, "ttl": 1}) as board:
        for name in ("one", "two"):
            board.post(name)
        one, two = (board.claim(job, "me") for job in board.iterjobs())
        admin.config_set("maxmemory", 1)
        with pytest.raises(exc.StacklFlowError, match="maxmemory"):
            board.post("three")
        extended = threading.Event()
        for _ in range(3):
            extended.wait(1)
            board.extend(one, "me")
            assert board.find_owner(one) == "me"
        board.abandon(one, "me")
        board.consume(two, "me")
        assert [(job.name, board.find_owner(job)) for job in board.iterjobs()] == [("one", None)]
        admin.config_set("maxmemory", 0)


def documented_rights():
    """Return the commands that the documentation lists for a user."""
    (rule,) = re.findall(r"ACL SETUSER flows .*", PAGE.read_text())
    return re.findall(r"\+(\S+)", rule)


def use_everything(url):
    name = f"b{uuid.uuid4().hex}"
    with backends.fetch({"connection": url, "timeout": 2}) as kv:
        lease = kv.grant(60)
        mark = kv.wait()
        version = kv.commit([Check("a", ABSENT)], [Put("a", "1"), Put("leased", "1", lease.id)])
        for number in range(5):
            version = kv.commit([Check("a", version)], [Put("a", str(number))], ["b"])
        assert kv.wait("a", mark, timeout=5) != mark
        assert kv.wait("a", kv.wait(), timeout=0.1)
        kv.list("a", limit=1)
        kv.list("a", reverse=True)
        kv.get_many(["a", "b"])
        kv.extend(lease)
        kv.commit(deletes=["a"])
        kv.revoke(lease)
    with boards.backend(name, url) as board:
        job = board.claim(board.post("one"), "me")
        board.consume(job, "me")


def test_a_user_with_the_documented_rights(server, admin):
    rights = documented_rights()
    assert len(rights) > 10
    url = server.url.replace("redis://", "redis://flows:secret@") + "/0?namespace=mine"

    def allow(commands):
        admin.acl_deluser("flows")
        admin.execute_command(
            "ACL", "SETUSER", "flows", "on", ">secret", "~{mine}:*", *(f"+{command}" for command in commands)
        )

    allow(rights)
    use_everything(url)
    with (
        backends.fetch(url.replace("namespace=mine", "namespace=other")) as kv,
        pytest.raises(exc.StorageFailure, match="rejected the login"),
    ):
        kv.commit(puts=[Put("a", "1")])
    admin.flushall()
    for right in rights:
        allow([each for each in rights if each != right])
        admin.script_flush()
        with pytest.raises(exc.StacklFlowError) as caught:
            use_everything(url)
        assert "rejected the login" in str(caught.value), right
        assert "secret" not in str(caught.value)
        admin.flushall()
