"""Redis in trouble: killed, stopped, full, cut off, with another password; and it goes on afterwards."""

import threading
import time
import uuid

import pytest
import redis

from stackl_flow import exceptions as exc
from stackl_flow.kv import backends
from stackl_flow.kv.items import ABSENT, Check, Put
from stackl_flow.testing.contracts.kv import Waiter, add_one
from stackl_flow.testing.crash import start_child, wait_child
from tests.support.lossy_proxy import LossyServerContract


@pytest.fixture
def address(redis_url):
    return f"{redis_url}?namespace={uuid.uuid4()}"


@pytest.fixture
def raw(redis_url):
    with redis.Redis.from_url(redis_url, decode_responses=True) as raw:
        yield raw


class TestServer(LossyServerContract):
    @pytest.fixture
    def server(self, new_server):
        return new_server("redis")


def test_who_never_answered_is_not_waited_for_long():
    with backends.fetch("redis://:secret@127.0.0.1:1") as kv:
        began = time.monotonic()
        with pytest.raises(
            exc.StorageFailure, match=r"'redis://:\*\*\*@127.0.0.1:1' did not answer"
        ) as caught:
            kv.get("a")
        assert time.monotonic() - began < 5  # who never answered is not waited for as one who did
        assert "secret" not in str(caught.value)


def test_who_is_refused(new_server):
    server = new_server("redis", "--requirepass", "right")
    with redis.Redis.from_url(f"redis://:right@127.0.0.1:{server.port}") as admin:
        admin.acl_setuser(
            "guest", enabled=True, passwords=["+secret"], keys=["*"], commands=["+get", "+hello"]
        )
    for who in ("", ":secret@", "guest:secret@", "nobody:secret@"):
        with (
            backends.fetch(f"redis://{who}127.0.0.1:{server.port}") as kv,
            pytest.raises(exc.StorageFailure, match=r"refused us.*user and password") as caught,
        ):
            kv.commit(puts=[Put("a", "1")])
        assert "secret" not in str(caught.value)
    with backends.fetch(f"redis://:right@127.0.0.1:{server.port}") as kv:
        assert kv.get("a") is None


def test_password_changed_meanwhile(new_server):
    """Who is refused is told at once, and goes on when the server takes the password again."""
    server = new_server("redis")
    with backends.fetch(server.url) as kv, redis.Redis(port=server.port) as admin:
        kv.commit(puts=[Put("a", "1")])
        admin.config_set("requirepass", "new")
        admin.client_kill_filter(_type="normal", skipme=True)
        with pytest.raises(exc.StorageFailure, match="refused us"):
            kv.commit(puts=[Put("a", "2")])
        admin.config_set("requirepass", "")
        kv.commit(puts=[Put("a", "3")])
        assert kv.get("a").value == "3"


def test_stopped_in_the_middle(new_server):
    """A commit that a stopped server has in its hands lands once, though it is sent again meanwhile."""
    server = new_server("redis")
    with backends.fetch(f"{server.url}?socket_timeout=0.3&timeout=60") as kv:
        version = kv.commit(puts=[Put("a", "1")])
        server.freeze()
        going_on = threading.Timer(1.0, server.thaw)
        going_on.start()
        assert kv.commit([Check("a", version)], [Put("a", "2")]) == version + 1
        going_on.join()
        assert kv.get("a").version == version + 1


def test_connections_cut_all_the_time(address, raw):
    """Counting goes on while every connection is cut again and again, and no count is lost or doubled."""
    done = threading.Event()
    cuts = 0

    def cut():
        nonlocal cuts
        while not done.wait(0.01):
            cuts += raw.client_kill_filter(_type="normal", skipme=True)

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        with backends.fetch(f"{address}&timeout=60") as kv:
            for number in range(300):
                kv.commit([Check(f"k/{number}", ABSENT)], [Put(f"k/{number}", "1")])
                add_one(kv)
    finally:
        done.set()
        cutter.join()
    assert cuts > 10
    with backends.fetch(address) as kv:
        assert kv.get("count").value == "300"
        assert len(kv.list("k/")) == 300


def test_tokens_of_commits_are_not_kept(address, raw):
    """A server is not filled with what it remembers of commits."""
    with backends.fetch(address) as kv:
        for number in range(50):
            kv.commit(puts=[Put("a", str(number))])
            with pytest.raises(exc.Conflict):
                kv.commit([Check("a", ABSENT)], [Put("a", "never")])
    name = address.partition("namespace=")[2]
    kept = list(raw.scan_iter(f"*{name}*:done:*"))
    assert len(kept) == 1
    assert 0 < raw.pttl(kept[0]) <= 600_000


def test_full(new_server):
    server = new_server("redis")
    with backends.fetch(server.url) as kv, redis.Redis(port=server.port) as admin:
        kv.commit(puts=[Put("a", "1")])
        admin.config_set("maxmemory", 1)
        with pytest.raises(exc.StorageFailure, match="is full"):
            kv.commit(puts=[Put("a", "2")])
        admin.config_set("maxmemory", 0)
        assert kv.get("a").value == "1"
        kv.commit(puts=[Put("a", "3")])


def test_server_that_lost_its_data(new_server):
    """A waiter is told: what it knew is no more."""
    server = new_server("redis")
    with backends.fetch(server.url) as kv, redis.Redis(port=server.port) as admin:
        for number in range(5):
            kv.commit(puts=[Put("a", str(number))])
        mark = kv.wait()
        admin.flushall()
        assert kv.wait("a", mark, timeout=30) != mark


def test_keys_of_somebody_else(address, raw):
    name = address.partition("namespace=")[2]
    raw.set(f"{{{name}}}:meta", "mine")
    with (
        backends.fetch(address) as kv,
        pytest.raises(exc.StorageFailure, match="another one with namespace="),
    ):
        kv.get("a")


def test_newer_format_is_refused(address, raw):
    with backends.fetch(address) as kv:
        kv.commit(puts=[Put("a", "1")])
    raw.set(f"{{{address.partition('namespace=')[2]}}}:format", "2")
    with backends.fetch(address) as kv, pytest.raises(exc.IncompatibleVersion, match="format 2"):
        kv.get("a")


def test_child_forked_while_others_wait(address):
    """A child goes on with what its parent opened, while the parent's threads are in the middle of theirs."""
    with backends.fetch(address) as kv:
        kv.commit(puts=[Put("count", "0")])
        mark = kv.wait()
        waiters = [Waiter(lambda: kv.wait("end", mark, timeout=60)) for _ in range(3)]
        writers = [threading.Thread(target=lambda: [add_one(kv) for _ in range(50)]) for _ in range(2)]
        for writer in writers:
            writer.start()
        children = [start_child(lambda: [add_one(kv) for _ in range(10)]) for _ in range(4)]
        assert [wait_child(child) for child in children] == [0] * 4
        for writer in writers:
            writer.join()
        assert kv.get("count").value == "140"
        kv.commit(puts=[Put("end", "1")])
        assert all(waiter.result(30) not in {None, mark} for waiter in waiters)
