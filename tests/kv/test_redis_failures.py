"""Failures of a Redis server: killed, stopped, full, disconnected, changed password; and recovery."""

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
def url(redis_url):
    return f"{redis_url}?namespace={uuid.uuid4()}"


@pytest.fixture
def raw(redis_url):
    with redis.Redis.from_url(redis_url, decode_responses=True) as raw:
        yield raw


class TestServer(LossyServerContract):
    @pytest.fixture
    def server(self, new_server):
        return new_server("redis")


def test_short_timeout_for_first_connect():
    with backends.fetch("redis://:secret@127.0.0.1:1") as kv:
        began = time.monotonic()
        with pytest.raises(
            exc.StorageFailure, match=r"'redis://:\*\*\*@127.0.0.1:1' did not answer"
        ) as caught:
            kv.get("a")
        assert time.monotonic() - began < 5  # less than the timeout for a server that was connected before
        assert "secret" not in str(caught.value)


def test_rejected_login(new_server):
    server = new_server("redis", "--requirepass", "right")
    with redis.Redis.from_url(f"redis://:right@127.0.0.1:{server.port}") as admin:
        admin.acl_setuser(
            "guest", enabled=True, passwords=["+secret"], keys=["*"], commands=["+get", "+hello"]
        )
    for user in ("", ":secret@", "guest:secret@", "unknown:secret@"):
        with (
            backends.fetch(f"redis://{user}127.0.0.1:{server.port}") as kv,
            pytest.raises(exc.StorageFailure, match=r"rejected the login.*user and password") as caught,
        ):
            kv.commit(puts=[Put("a", "1")])
        assert "secret" not in str(caught.value)
    with backends.fetch(f"redis://:right@127.0.0.1:{server.port}") as kv:
        assert kv.get("a") is None


def test_password_changed(new_server):
    """A rejected login fails at once; the store recovers when the server accepts the password again."""
    server = new_server("redis")
    with backends.fetch(server.url) as kv, redis.Redis(port=server.port) as admin:
        kv.commit(puts=[Put("a", "1")])
        admin.config_set("requirepass", "new")
        admin.client_kill_filter(_type="normal", skipme=True)
        with pytest.raises(exc.StorageFailure, match="rejected the login"):
            kv.commit(puts=[Put("a", "2")])
        admin.config_set("requirepass", "")
        kv.commit(puts=[Put("a", "3")])
        assert kv.get("a").value == "3"


def test_server_stopped_during_commit(new_server):
    """A commit that a stopped server has received is applied once, although it is sent again."""
    server = new_server("redis")
    with backends.fetch(f"{server.url}?socket_timeout=0.3&timeout=60") as kv:
        version = kv.commit(puts=[Put("a", "1")])
        server.freeze()
        resume = threading.Timer(1.0, server.thaw)
        resume.start()
        assert kv.commit([Check("a", version)], [Put("a", "2")]) == version + 1
        resume.join()
        assert kv.get("a").version == version + 1


def test_connections_closed_continuously(url, raw):
    """Counting continues while connections are closed again and again; no increment is lost or doubled."""
    done = threading.Event()
    cuts = 0

    def cut():
        nonlocal cuts
        while not done.wait(0.01):
            cuts += raw.client_kill_filter(_type="normal", skipme=True)

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        with backends.fetch(f"{url}&timeout=60") as kv:
            for number in range(300):
                kv.commit([Check(f"k/{number}", ABSENT)], [Put(f"k/{number}", "1")])
                add_one(kv)
    finally:
        done.set()
        cutter.join()
    assert cuts > 10
    with backends.fetch(url) as kv:
        assert kv.get("count").value == "300"
        assert len(kv.list("k/")) == 300


def test_commit_tokens_are_deleted(url, raw):
    """The tokens of commits do not accumulate on the server."""
    with backends.fetch(url) as kv:
        for number in range(50):
            kv.commit(puts=[Put("a", str(number))])
            with pytest.raises(exc.Conflict):
                kv.commit([Check("a", ABSENT)], [Put("a", "never")])
    name = url.partition("namespace=")[2]
    kept = list(raw.scan_iter(f"*{name}*:done:*"))
    assert len(kept) == 1
    assert 0 < raw.pttl(kept[0]) <= 600_000


def test_out_of_memory(new_server):
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
    """A waiter returns."""
    server = new_server("redis")
    with backends.fetch(server.url) as kv, redis.Redis(port=server.port) as admin:
        for number in range(5):
            kv.commit(puts=[Put("a", str(number))])
        mark = kv.wait()
        admin.flushall()
        assert kv.wait("a", mark, timeout=30) != mark


def test_namespace_of_another_program(url, raw):
    name = url.partition("namespace=")[2]
    raw.set(f"{{{name}}}:meta", "mine")
    with (
        backends.fetch(url) as kv,
        pytest.raises(exc.StorageFailure, match="another one with namespace="),
    ):
        kv.get("a")


def test_newer_format_is_rejected(url, raw):
    with backends.fetch(url) as kv:
        kv.commit(puts=[Put("a", "1")])
    raw.set(f"{{{url.partition('namespace=')[2]}}}:format", "2")
    with backends.fetch(url) as kv, pytest.raises(exc.IncompatibleVersion, match="format 2"):
        kv.get("a")


def test_fork_while_threads_wait(url):
    """A child uses the object of its parent while the parent's threads are using it."""
    with backends.fetch(url) as kv:
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
