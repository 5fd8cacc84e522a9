"""Redis keeps the contract, on a real server."""

import socket
import threading
import time
import uuid

import pytest
import redis
from redis.crc import key_slot

from stackl_flow.kv import backends
from stackl_flow.kv.items import Check, Put
from stackl_flow.testing.crash import start_child, wait_child
from stackl_flow.testing.kv import KVContract, add_one


class TestRedis(KVContract):
    @pytest.fixture
    def open_kv(self, redis_url):
        address = f"{redis_url}?namespace={uuid.uuid4()}"
        return lambda: backends.fetch(address)

    # The server's clock cannot be stepped, and the machine may be busy.
    TTL = 0.8


@pytest.fixture
def address(redis_url):
    return f"{redis_url}?namespace={uuid.uuid4()}"


def test_namespaces_are_apart(redis_url):
    with (
        backends.fetch(f"{redis_url}?namespace=one-{uuid.uuid4()}") as one,
        backends.fetch(f"{redis_url}?namespace=two-{uuid.uuid4()}") as two,
    ):
        one.commit(puts=[Put("a", "1")])
        assert two.list() == []


def test_all_keys_share_a_hash_tag(redis_url):
    name = str(uuid.uuid4())
    with backends.fetch(f"{redis_url}?namespace={name}") as kv, redis.Redis.from_url(redis_url) as raw:
        lease = kv.grant(60)
        kv.commit(puts=[Put("a", "1", lease.id)])
        keys = list(raw.scan_iter(f"*{name}*"))
        slots = {key_slot(key) for key in keys}
    assert len(keys) >= 7
    assert len(slots) == 1


class LosesAnswers:
    """Passes all on to a server, and cuts the connection in the place of some answers."""

    def __init__(self, port, every):
        self._server = ("127.0.0.1", port)
        self._every = every
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.answers = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client):
        with client, socket.create_connection(self._server) as server:
            while asked := client.recv(1 << 16):
                server.sendall(asked)
                answer = server.recv(1 << 16)
                self.answers += 1
                if self.answers % self._every == 0:
                    return
                client.sendall(answer)

    def close(self):
        self._listener.close()


def test_a_commit_whose_answer_is_lost_lands_once(redis_url):
    port = int(redis_url.rpartition(":")[2].partition("/")[0])
    proxy = LosesAnswers(port, every=7)
    name = uuid.uuid4()
    with (
        backends.fetch(f"redis://127.0.0.1:{proxy.port}?namespace={name}") as cut,
        backends.fetch(f"{redis_url}?namespace={name}") as kv,
    ):
        version = cut.commit(puts=[Put("a", "0")])
        for number in range(30):
            landed = cut.commit([Check("a", version)], [Put("a", str(number))])
            assert landed == version + 1  # a commit done twice would conflict with itself, or count two
            version = landed
        assert kv.get("a").value == "29"
        assert proxy.answers > 30
    proxy.close()


def test_goes_on_in_a_forked_child(address):
    with backends.fetch(address) as kv:
        kv.commit(puts=[Put("count", "0")])

        def work():
            for _ in range(10):
                add_one(kv)

        children = [start_child(work) for _ in range(3)]
        work()
        assert [wait_child(child) for child in children] == [0] * 3
        assert kv.get("count").value == "40"


def test_waiter_is_woken_by_another_process(address):
    """Fifty times there and back takes no second when each is woken, and fifty when each looks itself."""
    with backends.fetch(address) as kv:
        mark = kv.wait()

        def answer():
            seen = mark
            for number in range(50):
                while kv.get(f"ask/{number}") is None:
                    seen = kv.wait("ask/", seen, timeout=30)
                kv.commit(puts=[Put(f"answer/{number}", "1")])

        child = start_child(answer)
        began, seen = time.monotonic(), mark
        for number in range(50):
            kv.commit(puts=[Put(f"ask/{number}", "1")])
            while kv.get(f"answer/{number}") is None:
                seen = kv.wait("answer/", seen, timeout=30)
        assert wait_child(child) == 0
        assert time.monotonic() - began < 20


def test_waiter_is_not_woken_by_others_and_misses_nothing(address):
    with backends.fetch(address) as kv:
        mark = kv.wait("mine/")
        for number in range(300):
            kv.commit(puts=[Put(f"theirs/{number}", "1")])
        assert kv.wait("mine/", mark, timeout=0) == mark
        kv.commit(puts=[Put(f"mine/{number}", "1") for number in range(600)])
        assert kv.wait("mine/", mark, timeout=0) != mark
        late = kv.wait("mine/")
        for number in range(6000):
            kv.commit(puts=[Put("theirs/x", str(number))])
        assert kv.wait("mine/", late, timeout=0) != late  # the stream has forgotten: better once too often


def test_waiter_is_woken_when_a_lease_runs_out(address):
    with backends.fetch(address) as kv:
        lease = kv.grant(0.1)
        kv.commit(puts=[Put("a", "1", lease.id)])
        mark = kv.wait()
        assert kv.wait("a", mark, timeout=30) != mark
        assert kv.get("a") is None
