"""The part of the contract of places that is about leases and about waiting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.kv.items import ABSENT, PRESENT, Check, Lease, Put
from stackl_flow.kv.store import KV


class Waiter:
    """Waits for changes in a thread of its own.

    Args:
        wait: what to call there; it returns the new mark.
    """

    def __init__(self, wait: Callable[[], int]) -> None:
        self.mark: int | None = None
        self._wait = wait
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.mark = self._wait()

    def result(self, seconds: float = 5.0) -> int | None:
        """Wait for the end.

        Args:
            seconds: how long.

        Returns:
            The mark, or None if it still waits.
        """
        self._thread.join(seconds)
        return self.mark


class LeaseContract:
    """What holds for leases and waiting."""

    #: A time to live, in seconds, that the place can grant.
    TTL = 0.3
    #: Whether ``pass_time`` steps a clock; else it takes as long as it says.
    STEPPED = False

    def pass_time(self, seconds: float) -> None:
        """Let time pass; a place that is given a stepped clock steps it instead.

        Args:
            seconds: how much.
        """
        # The clock of a server cannot be stepped.
        time.sleep(seconds)

    def _run_out(self, *leases: Lease) -> None:
        self.pass_time(max(lease.ttl for lease in leases) * 1.2)

    def test_item_goes_with_its_lease(self, kv: KV, other: KV) -> None:
        """An item on a lease is there until the lease runs out, and then it never was."""
        lease = kv.grant(self.TTL)
        assert lease.ttl >= self.TTL
        kv.commit(puts=[Put("leased", "1", lease.id)])
        kv.commit(puts=[Put("kept", "1")])
        item = other.get("leased")
        assert item is not None
        assert item.lease == lease.id
        self._run_out(lease)
        assert other.get("leased") is None
        assert kv.get("leased") is None
        assert [item.key for item in kv.list()] == ["kept"]
        with pytest.raises(exc.Conflict):
            kv.commit([Check("leased", PRESENT)])
        assert other.commit([Check("leased", ABSENT)], [Put("leased", "2")]) > item.version

    def test_extended_lease(self, kv: KV, other: KV) -> None:
        """A lease that is extended lasts its whole time from then on, with all that stands on it."""
        lease = kv.grant(self.TTL)
        kv.commit(puts=[Put("a", "1", lease.id), Put("b", "1", lease.id)])
        for _ in range(3):
            self.pass_time(lease.ttl * 0.6)
            kv.extend(lease)
        assert [item.key for item in other.list()] == ["a", "b"]
        self._run_out(lease)
        assert other.list() == []
        with pytest.raises(exc.LeaseLost, match=lease.id):
            kv.extend(lease)

    def test_extended_by_another(self, kv: KV, other: KV) -> None:
        """Writing an item on a lease again changes its version; whoever knows the lease can use it."""
        lease = kv.grant(self.TTL)
        first = kv.commit(puts=[Put("a", "1", lease.id)])
        second = kv.commit([Check("a", first)], [Put("a", "2", lease.id)])
        found = other.get("a")
        assert found is not None
        assert (found.value, found.version, found.lease) == ("2", second, lease.id)

    def test_given_up(self, kv: KV, other: KV) -> None:
        """What stands on a lease that is given up is deleted at once; giving it up twice is no error."""
        lease, stays = kv.grant(self.TTL), kv.grant(self.TTL)
        kv.commit(puts=[Put("a", "1", lease.id)])
        kv.commit(puts=[Put("b", "1", stays.id)])
        kv.revoke(lease)
        kv.revoke(lease)
        assert [item.key for item in other.list()] == ["b"]
        with pytest.raises(exc.LeaseLost):
            kv.extend(lease)
        kv.revoke(stays)

    def test_put_on_a_lost_lease(self, kv: KV) -> None:
        """Nothing lands of a commit whose lease ran out, was given up or never was."""
        gone, out = kv.grant(self.TTL), kv.grant(self.TTL)
        kv.revoke(gone)
        self._run_out(out)
        for lease in (gone.id, out.id, "0123456789abcdef0123456789abcdef"):
            with pytest.raises(exc.LeaseLost, match=lease):
                kv.commit(puts=[Put("a", "1", lease), Put("b", "1")])
        assert kv.list() == []

    def test_taken_off_its_lease(self, kv: KV) -> None:
        """An item that was put without the lease, deleted or put on another one outlives the first."""
        first, second = kv.grant(self.TTL), kv.grant(self.TTL)
        kv.commit(puts=[Put(key, "1", first.id) for key in "abcd"])
        kv.commit(puts=[Put("a", "2")], deletes=["b"])
        kv.commit(puts=[Put("b", "2"), Put("c", "2", second.id)])
        kv.revoke(first)
        assert [item.key for item in kv.list()] == ["a", "b", "c"]
        kv.revoke(second)
        assert [item.key for item in kv.list()] == ["a", "b"]
        self._run_out(first, second)
        assert [item.key for item in kv.list()] == ["a", "b"]

    def test_one_lease_a_commit(self, kv: KV) -> None:
        """The puts of one commit stand on one lease at most."""
        leases = [kv.grant(self.TTL) for _ in range(2)]
        with pytest.raises(exc.InvalidFormat, match="one lease"):
            kv.commit(puts=[Put(lease.id, "1", lease.id) for lease in leases])
        with pytest.raises(exc.InvalidFormat, match="0 seconds"):
            kv.grant(0)
        for lease in leases:
            kv.revoke(lease)

    def test_wait_for_nothing(self, kv: KV) -> None:
        """The first mark comes at once; when nothing happens the same mark comes back."""
        mark = kv.wait("a/")
        assert mark > 0
        assert kv.wait("a/", mark, timeout=0) == mark
        assert kv.wait("a/", mark, timeout=0.05) == mark

    def test_nothing_is_missed(self, kv: KV, other: KV) -> None:
        """A change between taking the mark and waiting is seen; so are deletes and changes by others."""
        mark = kv.wait("a/")
        other.commit(puts=[Put("a/k", "1")])
        after_put = kv.wait("a/", mark, timeout=5)
        assert after_put != mark
        kv.commit(deletes=["a/k"])
        assert kv.wait("a/", after_put, timeout=5) != after_put
        assert kv.wait("", after_put, timeout=5) != after_put

    def test_waiter_is_woken(self, kv: KV, other: KV) -> None:
        """Whoever waits is woken by a change that another makes."""
        for prefix in ("a/", "", "a/k"):
            mark = kv.wait(prefix)
            waiter = Waiter(partial(kv.wait, prefix, mark, 30))
            assert waiter.result(0.05) is None
            other.commit(puts=[Put("a/k", prefix)])
            found = waiter.result()
            assert found is not None
            assert found != mark

    def test_waiter_sees_the_end_of_a_lease(self, kv: KV, other: KV) -> None:
        """An item that goes with its lease is a change like any other."""
        lease = kv.grant(self.TTL)
        kv.commit(puts=[Put("a/k", "1", lease.id)])
        mark = other.wait("a/")
        self._run_out(lease)
        assert other.wait("a/", mark, timeout=5) != mark
        assert other.get("a/k") is None
