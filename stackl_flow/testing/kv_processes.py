"""The part of the contract of places that is about the other processes that reach them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from stackl_flow.kv.items import Put
from stackl_flow.kv.store import KV
from stackl_flow.testing.crash import start_child, wait_child
from stackl_flow.testing.kv import OpenKV, add_one

if TYPE_CHECKING:
    from stackl_flow.kv.items import Lease

_LONG = 30.0


class ProcessContract:
    """What holds between processes; to be inherited beside ``KVContract`` by places that several reach.

    Attributes:
        ROUNDS: how often two processes wake each other.
        WITHIN: seconds that this takes at most; less than if each of them looked every quarter of a second.
    """

    ROUNDS = 50
    WITHIN = 8.0

    @pytest.fixture
    def open_kv(self) -> OpenKV:
        """Give a function that opens the place, always the same and empty at first."""
        raise NotImplementedError("a subclass of the contract brings its own open_kv fixture")

    def test_forked_children(self, kv: KV) -> None:
        """Children go on with what their parent opened, all at the same time as it does."""
        lease = kv.grant(60)
        kv.commit(puts=[Put("count", "0"), Put("leased", "0", lease.id)])
        mark = kv.wait("leased")

        def work() -> None:
            count_and_say(kv, lease, mark)

        children = [start_child(work) for _ in range(3)]
        work()
        assert [wait_child(child) for child in children] == [0] * 3
        items = kv.get_many(["count", "leased"])
        assert [item.value for item in items if item is not None] == ["40", "1"]

    def test_woken_from_another_process(self, kv: KV, open_kv: OpenKV) -> None:
        """Two processes wake each other, and none of them has to look by itself."""
        mark = kv.wait()

        def answer() -> None:
            with open_kv() as theirs:
                seen = theirs.wait()
                for number in range(self.ROUNDS):
                    while theirs.get(f"ask/{number}") is None:
                        seen = theirs.wait("ask/", seen, timeout=_LONG)
                    theirs.commit(puts=[Put(f"answer/{number}", "1")])

        child = start_child(answer)
        began, seen = time.monotonic(), mark
        for number in range(self.ROUNDS):
            kv.commit(puts=[Put(f"ask/{number}", "1")])
            while kv.get(f"answer/{number}") is None:
                seen = kv.wait("answer/", seen, timeout=_LONG)
        took = time.monotonic() - began
        assert wait_child(child) == 0
        assert took < self.WITHIN


def count_and_say(kv: KV, lease: Lease, mark: int) -> None:
    """Count to ten beside others, and write and wait as its parent could.

    Args:
        kv: the place, as the parent opened it.
        lease: a lease of the parent's.
        mark: the parent's mark.
    """
    for _ in range(10):
        add_one(kv)
    kv.extend(lease)
    kv.commit(puts=[Put("leased", "1", lease.id)])
    assert kv.wait("leased", mark, timeout=_LONG) != mark
