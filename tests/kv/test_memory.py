"""The in-memory store, which is the reference, passes the contract suite."""

import uuid

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.kv import backends
from stackl_flow.kv.items import Put
from stackl_flow.testing.clock import SteppedClock
from tests.support.kv_machine import ComparedKVContract


class TestMemory(ComparedKVContract):
    STEPPED = True
    clock = SteppedClock()

    @pytest.fixture
    def open_kv(self):
        url = f"memory://{uuid.uuid4()}"
        return lambda: backends.fetch(url, clock=self.clock)

    def pass_time(self, seconds):
        self.clock.step(seconds)


def test_unnamed_stores_are_separate():
    one, two = backends.fetch("memory"), backends.fetch({"connection": "memory"})
    one.commit(puts=[Put("a", "1")])
    assert two.list() == []


def test_invalid_urls():
    with pytest.raises(exc.NotFound, match=r"'carrier'.*directory.*memory.*redis"):
        backends.fetch("carrier://pigeon")
    with pytest.raises(exc.NotFound, match="memory"):
        backends.fetch("memory", namespace="no.such.group")
    with pytest.raises(exc.InvalidFormat, match="unknown option"):
        backends.fetch("memory?colour=red")


def test_lease_expiry_wakes_waiter():
    kv = backends.fetch("memory")
    lease = kv.grant(0.1)
    kv.commit(puts=[Put("a", "1", lease.id)])
    mark = kv.wait()
    assert kv.wait("a", mark, timeout=30) != mark
    assert kv.get("a") is None


def test_external_transaction_is_not_supported():
    with (
        pytest.raises(exc.NotSupported, match="SQL"),
        backends.fetch("memory").external_transaction(None),
    ):
        pass
