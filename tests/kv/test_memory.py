"""The reference place keeps the contract."""

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
        address = f"memory://{uuid.uuid4()}"
        return lambda: backends.fetch(address, clock=self.clock)

    def pass_time(self, seconds):
        self.clock.step(seconds)


def test_unnamed_places_are_apart():
    one, two = backends.fetch("memory"), backends.fetch({"connection": "memory"})
    one.commit(puts=[Put("a", "1")])
    assert two.list() == []


def test_addresses_that_lead_nowhere():
    with pytest.raises(exc.NotFound, match=r"'carrier'.*directory.*memory.*redis"):
        backends.fetch("carrier://pigeon")
    with pytest.raises(exc.NotFound, match="memory"):
        backends.fetch("memory", namespace="nobody.has.this")
    with pytest.raises(exc.InvalidFormat, match="unknown option"):
        backends.fetch("memory?colour=red")


def test_waiter_is_woken_when_a_lease_runs_out():
    kv = backends.fetch("memory")
    lease = kv.grant(0.1)
    kv.commit(puts=[Put("a", "1", lease.id)])
    mark = kv.wait()
    assert kv.wait("a", mark, timeout=30) != mark
    assert kv.get("a") is None


def test_memory_joins_no_transaction():
    with (
        pytest.raises(exc.NotSupported, match="SQL"),
        backends.fetch("memory").external_transaction(None),
    ):
        pass
