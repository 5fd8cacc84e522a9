"""The Redis store passes the contract suites on a real server."""

import uuid

import pytest
import redis
from redis.crc import key_slot

from stackl_flow.kv import backends
from stackl_flow.kv.items import Put
from stackl_flow.testing.contracts.kv import ProcessContract
from tests.support.kv_machine import ComparedKVContract


class TestRedis(ComparedKVContract, ProcessContract):
    @pytest.fixture
    def open_kv(self, redis_url):
        url = f"{redis_url}?namespace={uuid.uuid4()}"
        return lambda: backends.fetch(url)

    # The server's clock cannot be stepped, and the machine may be busy.
    TTL = 0.8


@pytest.fixture
def url(redis_url):
    return f"{redis_url}?namespace={uuid.uuid4()}"


def test_namespaces_are_separate(redis_url):
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


def test_wait_ignores_other_prefixes_and_misses_nothing(url):
    with backends.fetch(url) as kv:
        mark = kv.wait("mine/")
        for number in range(300):
            kv.commit(puts=[Put(f"other/{number}", "1")])
        assert kv.wait("mine/", mark, timeout=0) == mark
        kv.commit(puts=[Put(f"mine/{number}", "1") for number in range(600)])
        assert kv.wait("mine/", mark, timeout=0) != mark
        late = kv.wait("mine/")
        for number in range(6000):
            kv.commit(puts=[Put("other/x", str(number))])
        assert kv.wait("mine/", late, timeout=0) == late
        for number in range(6000):
            kv.commit(puts=[Put("mine/x", str(number))])
        # The stream has been trimmed: a false alarm is allowed.
        assert kv.wait("mine/y", late, timeout=0) != late


def test_lease_expiry_wakes_waiter(url):
    with backends.fetch(url) as kv:
        lease = kv.grant(0.1)
        kv.commit(puts=[Put("a", "1", lease.id)])
        mark = kv.wait()
        assert kv.wait("a", mark, timeout=30) != mark
        assert kv.get("a") is None
