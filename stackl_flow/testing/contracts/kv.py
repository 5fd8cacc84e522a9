"""The contract of key-value stores, as test classes to inherit from.

A store is complete when its subclass of ``KVContract`` passes::

    class TestMine(KVContract):
        @pytest.fixture
        def open_kv(self, tmp_path):
            return lambda: backends.fetch(f"mine://{tmp_path}")

Add ``ProcessContract`` if several processes can open the store, and a subclass of ``ServerContract`` if it is
on a server. A store that takes a clock can be tested without waiting: with a ``SteppedClock``, ``pass_time``
and ``STEPPED = True``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.kv import backends
from stackl_flow.kv.items import ABSENT, PRESENT, Check, Item, Lease, Put, quote
from stackl_flow.kv.store import KV
from stackl_flow.testing.crash import start_child, wait_child

#: Seconds; longer than anything takes on a busy machine.
LONG = 60.0
#: Every character that a key may have, apart from the slash.
PRINTABLE = "".join(chr(code) for code in range(33, 127) if chr(code) != "/")


def keys(items: list[Item]) -> list[str]:
    """Return the keys of items."""
    return [item.key for item in items]


class KeyContract:
    """Keys: order, ranges, validation."""

    def test_order(self, kv: KV) -> None:
        """Items are ordered by the bytes of their keys, forwards and backwards."""
        made = ["b", "a", "a/b", "a/b/c", "a/b-c", "a-b", "a.b", "a0", "A", "aa", "a/B", "a/a/z", "~", "!"]
        for key in made[::2]:
            kv.commit(puts=[Put(key, key)])
        kv.commit(puts=[Put(key, key) for key in made[1::2]])
        assert keys(kv.list()) == sorted(made)
        assert keys(kv.list(reverse=True)) == sorted(made, reverse=True)
        for prefix in ("a", "a/", "a/b", "a/b/", "b", "a-", "nothing"):
            wanted = sorted(key for key in made if key.startswith(prefix))
            assert keys(kv.list(prefix)) == wanted, prefix
            assert keys(kv.list(prefix, reverse=True)) == wanted[::-1], prefix

    def test_pages(self, kv: KV) -> None:
        """A list continues after a key, whether or not that item still exists."""
        made = [f"p/{n:03}" for n in range(25)]
        kv.commit(puts=[Put(key, "1") for key in [*made, "o", "p", "q"]])
        for reverse in (False, True):
            found: list[str] = []
            while page := kv.list("p/", found[-1] if found else "", 10, reverse=reverse):
                found.extend(keys(page))
            assert found == (made[::-1] if reverse else made)
        assert keys(kv.list("p/", limit=0)) == []
        assert keys(kv.list("p/", after="p/0225", limit=1)) == ["p/023"]
        assert keys(kv.list("p/", after="p/0225", limit=1, reverse=True)) == ["p/022"]
        assert keys(kv.list("p/", after="z")) == keys(kv.list("p/", after="a", reverse=True)) == []
        assert keys(kv.list("p/", after="a")) == keys(kv.list("p/", after="z", reverse=True))[::-1] == made

    def test_all_characters_of_keys(self, kv: KV, other: KV) -> None:
        """A key may have all printable characters; an invalid key is an error before anything is written."""
        valid = [
            f"{PRINTABLE[:60]}/{PRINTABLE[60:]}",
            "a/...",
            ".a",
            "a.json/b",
            "a.json",
            "a.d/b",
            "x" * 200,
            quote("\u00e9/ .") + "/" + quote(".."),
        ]
        kv.commit(puts=[Put(key, key) for key in valid])
        assert [(item.key, item.value) for item in other.list()] == [(key, key) for key in sorted(valid)]
        for key in ("", "/", "a/", "/a", "a//b", "a b", "\u00e9", "a/..", ".", "x" * 201, "a/" * 200 + "a"):
            with pytest.raises(exc.InvalidFormat, match="key"):
                kv.commit(puts=[Put("fine", "1"), Put(key, "1")])
            with pytest.raises(exc.InvalidFormat, match="key"):
                kv.get(key)
        assert kv.get("fine") is None

    def test_written_twice(self, kv: KV) -> None:
        """A commit must not write an item twice."""
        for puts, deletes in (
            ([Put("k", "1"), Put("k", "2")], []),
            ([Put("k", "1")], ["k"]),
            ([], ["k", "k"]),
        ):
            with pytest.raises(exc.InvalidFormat, match="twice"):
                kv.commit(puts=puts, deletes=deletes)
        assert kv.list() == []

    def test_limits(self, kv: KV) -> None:
        """A commit beyond the limits of the store is an error with size, limit and remedy."""
        kv.get("k")  # some stores ask their servers
        value, size, operations, overhead = kv.limits
        if value is not None and value <= MAX_TESTED:
            with pytest.raises(exc.ValueTooLarge, match="codec") as caught:
                kv.commit(puts=[Put("k", "x" * (value + 1))])
            assert (caught.value.size, caught.value.limit) == (value + 1, value)
            assert not isinstance(caught.value, exc.StorageFailure)
        if size is not None and size <= MAX_TESTED:
            half = "x" * (size // 2)
            with pytest.raises(exc.ValueTooLarge, match="less at once"):
                kv.commit(puts=[Put("k", half), Put("l", half), Put("m", "1")])
        if operations is not None:
            with pytest.raises(exc.ValueTooLarge, match="less at once"):
                kv.commit(puts=[Put(f"k{n}", "1") for n in range(operations + 1)])
        count = min(operations or 1000, 1000 if size is None else (size // (overhead + 10)))
        assert kv.list() == []
        kv.commit(puts=[Put(f"k{n}", "1") for n in range(count)])
        assert len(kv.list()) == count

    def test_up_to_the_limits(self, kv: KV) -> None:
        """A value and a commit that the declared limits allow are stored, whatever their keys are."""
        kv.get("k")
        limits = kv.limits
        long = [f"{'k' * 180}/{'l' * 180}/{n}" for n in range(limits.operations or 100)]
        if limits.value is not None and limits.value <= MAX_TESTED:
            version = kv.commit([Check(long[0], ABSENT)], [Put(long[0], "v" * limits.value)])
            kv.commit([Check(long[0], version)], [Put(long[0], "w" * limits.value)])
            stored = kv.get(long[0])
            assert stored is not None
            assert stored.value == "w" * limits.value
            kv.commit([], [], [long[0]])
        if limits.commit is not None and limits.commit <= MAX_TESTED:
            checks = [Check(key, ABSENT) for key in long]
            left = limits.commit - limits.commit_size(checks, [Put(key, "") for key in long], ())
            puts = [Put(key, "x" * (left // len(long))) for key in long]
            assert limits.fit(checks, puts)
            kv.commit(checks, puts)
            assert [item.value for item in kv.get_many(long) if item] == [put.value for put in puts]


#: Limits above so many bytes are not tried.
MAX_TESTED = 4_000_000


class Waiter:
    """Calls a function that waits for a change, in a thread; it returns the new position."""

    def __init__(self, wait: Callable[[], int]) -> None:
        self.position: int | None = None
        self._wait = wait
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.position = self._wait()

    def result(self, seconds: float = 5.0) -> int | None:
        """Return the new position; None if it is still waiting after that time."""
        self._thread.join(seconds)
        return self.position


class LeaseContract:
    """Leases, and waiting for changes."""

    #: Duration of leases in seconds; the store must be able to grant it.
    TTL = 0.3
    #: Whether ``pass_time`` steps a clock instead of waiting.
    STEPPED = False

    def pass_time(self, seconds: float) -> None:
        """Let time pass; override this for a store with a stepped clock."""
        # The clock of a server cannot be stepped.
        time.sleep(seconds)

    def _expire(self, *leases: Lease) -> None:
        self.pass_time(max(lease.ttl for lease in leases) * 1.2)

    def test_lease_expires(self, kv: KV, other: KV) -> None:
        """An item with a lease exists until the lease expires, for all operations."""
        lease = kv.grant(self.TTL)
        assert lease.ttl >= self.TTL
        kv.commit(puts=[Put("leased", "1", lease.id)])
        kv.commit(puts=[Put("kept", "1")])
        item = other.get("leased")
        assert item is not None
        assert item.lease == lease.id
        self._expire(lease)
        assert other.get("leased") is None
        assert kv.get("leased") is None
        assert [item.key for item in kv.list()] == ["kept"]
        with pytest.raises(exc.Conflict):
            kv.commit([Check("leased", PRESENT)])
        assert other.commit([Check("leased", ABSENT)], [Put("leased", "2")]) > item.version

    def test_extended_lease(self, kv: KV, other: KV) -> None:
        """Extending a lease restarts its duration, for all its items."""
        lease = kv.grant(self.TTL)
        kv.commit(puts=[Put("a", "1", lease.id), Put("b", "1", lease.id)])
        for _ in range(3):
            self.pass_time(lease.ttl * 0.6)
            kv.extend(lease)
        assert [item.key for item in other.list()] == ["a", "b"]
        self._expire(lease)
        assert other.list() == []
        with pytest.raises(exc.LeaseLost, match=lease.id):
            kv.extend(lease)

    def test_write_with_known_lease(self, kv: KV, other: KV) -> None:
        """Writing an item again with its lease changes the version; any client can use a known lease."""
        lease = kv.grant(self.TTL)
        first = kv.commit(puts=[Put("a", "1", lease.id)])
        second = kv.commit([Check("a", first)], [Put("a", "2", lease.id)])
        found = other.get("a")
        assert found is not None
        assert (found.value, found.version, found.lease) == ("2", second, lease.id)

    def test_revoke(self, kv: KV, other: KV) -> None:
        """Revoking a lease deletes its items at once; revoking it again has no effect."""
        lease, stays = kv.grant(self.TTL), kv.grant(self.TTL)
        kv.commit(puts=[Put("a", "1", lease.id)])
        kv.commit(puts=[Put("b", "1", stays.id)])
        kv.revoke(lease)
        kv.revoke(lease)
        assert [item.key for item in other.list()] == ["b"]
        with pytest.raises(exc.LeaseLost):
            kv.extend(lease)
        kv.revoke(stays)

    def test_put_with_lost_lease(self, kv: KV) -> None:
        """A commit with an expired, revoked or unknown lease writes nothing."""
        revoked, expired = kv.grant(self.TTL), kv.grant(self.TTL)
        kv.revoke(revoked)
        self._expire(expired)
        for lease in (revoked.id, expired.id, "0123456789abcdef0123456789abcdef"):
            with pytest.raises(exc.LeaseLost, match=lease):
                kv.commit(puts=[Put("a", "1", lease), Put("b", "1")])
        assert kv.list() == []

    def test_detached_from_lease(self, kv: KV) -> None:
        """An item that was put without its lease, recreated or put with another lease outlives the first."""
        first, second = kv.grant(self.TTL), kv.grant(self.TTL)
        kv.commit(puts=[Put(key, "1", first.id) for key in "abcd"])
        kv.commit(puts=[Put("a", "2")], deletes=["b"])
        kv.commit(puts=[Put("b", "2"), Put("c", "2", second.id)])
        kv.revoke(first)
        assert [item.key for item in kv.list()] == ["a", "b", "c"]
        kv.revoke(second)
        assert [item.key for item in kv.list()] == ["a", "b"]
        self._expire(first, second)
        assert [item.key for item in kv.list()] == ["a", "b"]

    def test_one_lease_per_commit(self, kv: KV) -> None:
        """The puts of a commit have at most one lease."""
        leases = [kv.grant(self.TTL) for _ in range(2)]
        with pytest.raises(exc.InvalidFormat, match="one lease"):
            kv.commit(puts=[Put(lease.id, "1", lease.id) for lease in leases])
        with pytest.raises(exc.InvalidFormat, match="0 seconds"):
            kv.grant(0)
        for lease in leases:
            kv.revoke(lease)

    def test_wait_without_changes(self, kv: KV) -> None:
        """The first call returns a position at once; without changes the position stays the same."""
        position = kv.wait("a/")
        assert position > 0
        assert kv.wait("a/", position, timeout=0) == position
        assert kv.wait("a/", position, timeout=0.05) == position

    def test_no_change_is_missed(self, kv: KV, other: KV) -> None:
        """Changes between two calls are noticed, also deletions and those of other clients."""
        position = kv.wait("a/")
        other.commit(puts=[Put("a/k", "1")])
        after_put = kv.wait("a/", position, timeout=5)
        assert after_put != position
        kv.commit(deletes=["a/k"])
        assert kv.wait("a/", after_put, timeout=5) != after_put
        assert kv.wait("", after_put, timeout=5) != after_put

    def test_waiting_client_is_notified(self, kv: KV, other: KV) -> None:
        """A change by another client ends the wait."""
        for prefix in ("a/", "", "a/k"):
            position = kv.wait(prefix)
            waiter = Waiter(partial(kv.wait, prefix, position, 30))
            assert waiter.result(0.05) is None
            other.commit(puts=[Put("a/k", prefix)])
            found = waiter.result()
            assert found is not None
            assert found != position

    def test_lease_expiry_is_a_change(self, kv: KV, other: KV) -> None:
        """The deletion of an item by lease expiry ends the wait."""
        lease = kv.grant(self.TTL)
        kv.commit(puts=[Put("a/k", "1", lease.id)])
        position = other.wait("a/")
        self._expire(lease)
        assert other.wait("a/", position, timeout=5) != position
        assert other.get("a/k") is None


OpenKV = Callable[[], KV]


class ItemContract:
    """Reads and commits."""

    @pytest.fixture
    def open_kv(self) -> OpenKV:
        """Return a function that opens the store, always the same one, which is empty at first."""
        raise NotImplementedError("define the fixture open_kv in the subclass")

    @pytest.fixture
    def kv(self, open_kv: OpenKV) -> Iterator[KV]:
        """The store."""
        with open_kv() as kv:
            yield kv

    @pytest.fixture
    def other(self, open_kv: OpenKV) -> Iterator[KV]:
        """The store, opened a second time."""
        with open_kv() as kv:
            yield kv

    def test_empty_store(self, kv: KV) -> None:
        """An empty store has no items; deleting one that does not exist has no effect."""
        assert kv.get("a/b") is None
        assert kv.list() == []
        kv.commit(deletes=["a/b"])
        assert kv.list() == []

    def test_put_and_read(self, kv: KV, other: KV) -> None:
        """All clients read what was put, with the version that the commit returned."""
        version = kv.commit(puts=[Put("a/b", "1"), Put("c", "2")])
        assert version > 0
        assert kv.get("a/b") == other.get("a/b") == Item("a/b", "1", version, None)
        assert other.list() == [Item("a/b", "1", version), Item("c", "2", version)]

    def test_versions_grow(self, kv: KV) -> None:
        """Each write of an item has a higher version, also after a deletion."""
        versions = []
        for value in "abc":
            versions.append(kv.commit(puts=[Put("k", value)]))
            item = kv.get("k")
            assert item == Item("k", value, versions[-1])
            kv.commit(deletes=["k"] if value == "b" else [])
        assert versions == sorted(set(versions))

    def test_other_items_keep_their_version(self, kv: KV) -> None:
        """Writing other items does not change the version of an item."""
        first = kv.commit(puts=[Put("a", "1")])
        kv.commit(puts=[Put("b", "1")])
        kv.commit(deletes=["b"])
        assert kv.get("a") == Item("a", "1", first)

    def test_values(self, kv: KV, other: KV) -> None:
        """Any text is read as it was written: empty, long, any script, with line ends."""
        values = ["", '"\\""', "a\nb\r\n", "\u00e9\u2028\U0001f600", "x" * 100_000]
        kv.commit(puts=[Put(f"v/{n}", value) for n, value in enumerate(values)])
        assert [item.value for item in other.list("v/")] == values
        assert [getattr(other.get(f"v/{n}"), "value", None) for n in range(len(values))] == values

    def test_bulk_reads(self, kv: KV, other: KV) -> None:
        """Bulk reads equal single reads, also beyond what a server returns in one response."""
        made = [f"m/{n:03}" for n in range(300)]
        for start in range(0, 300, 100):
            kv.commit(puts=[Put(key, key) for key in made[start : start + 100]])
        keys_read = ["m/007", "none", *made, "m/007"]
        assert other.get_many(keys_read) == [other.get("m/007"), None, *other.list("m/"), other.get("m/007")]
        prefixes = ["m/1", "none", "", "m/1", *made]
        assert other.list_many(prefixes) == [other.list(prefix) for prefix in prefixes[:4]] + [
            [item] for item in other.list()
        ]
        assert (other.get_many([]), other.list_many([])) == ([], [])
        for wrong in (["m/007", "a b"], ["m/007", ""]):
            with pytest.raises(exc.InvalidFormat, match="key"):
                kv.get_many(wrong)
        with pytest.raises(exc.InvalidFormat, match="prefix"):
            kv.list_many(["m", "a b"])

    def test_checks(self, kv: KV) -> None:
        """A commit is applied if all its checks hold."""
        first = kv.commit([Check("k", ABSENT)], [Put("k", "1")])
        second = kv.commit([Check("k", first), Check("other", ABSENT)], [Put("k", "2")])
        kv.commit([Check("k", PRESENT), Check("k", second)], deletes=["k"])
        kv.commit([Check("k", ABSENT)])
        assert kv.get("k") is None

    def test_failed_check(self, kv: KV, other: KV) -> None:
        """If a check fails, nothing is written, and the error names the item."""
        first = kv.commit(puts=[Put("k", "1"), Put("gone", "1")])
        second = kv.commit(puts=[Put("k", "2")])
        wrong = [Check("k", ABSENT), Check("k", first), Check("no", PRESENT), Check("no", first)]
        for check in wrong:
            with pytest.raises(exc.Conflict, match=check.key):
                kv.commit([Check("gone", first), check], [Put("k", "3"), Put("new", "1")], ["gone"])
        assert [(item.key, item.value, item.version) for item in other.list()] == [
            ("gone", "1", first),
            ("k", "2", second),
        ]

    def test_recreated_item(self, kv: KV) -> None:
        """A check of a version fails for a recreated item, whatever its value."""
        first = kv.commit(puts=[Put("k", "same")])
        kv.commit(deletes=["k"])
        kv.commit(puts=[Put("k", "same")])
        with pytest.raises(exc.Conflict, match="k"):
            kv.commit([Check("k", first)], deletes=["k"])
        assert kv.get("k") is not None

    def test_concurrent_writers(self, open_kv: OpenKV) -> None:
        """Concurrent read-modify-write operations lose no update."""

        def count() -> None:
            with open_kv() as kv:
                for _ in range(10):
                    add_one(kv)

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with open_kv() as kv:
            assert getattr(kv.get("count"), "value", None) == "40"

    def test_snapshot(self, kv: KV) -> None:
        """Reads within a snapshot are consistent, and writes work after it."""
        kv.commit(puts=[Put("a", "1"), Put("b", "1")])
        with kv.snapshot():
            assert kv.get("a") is not None
            with kv.snapshot():
                assert keys(kv.list()) == ["a", "b"]
            assert kv.get_many(["a", "b"]) == kv.list()
        kv.commit(deletes=["a"])
        assert keys(kv.list()) == ["b"]


def add_one(kv: KV) -> None:
    """Add one to the item "count", also with concurrent writers."""
    while True:
        item = kv.get("count")
        try:
            if item is None:
                kv.commit([Check("count", ABSENT)], [Put("count", "1")])
            else:
                kv.commit([Check("count", item.version)], [Put("count", str(int(item.value) + 1))])
        except exc.Conflict:
            continue
        return


class KVContract(ItemContract, KeyContract, LeaseContract):
    """The contract of all stores; a subclass defines the fixture ``open_kv``."""


class ProcessContract:
    """The contract between processes; inherit from it and from ``KVContract``.

    Attributes:
        ROUND_TRIPS: how often two processes notify each other.
        TIMEOUT: seconds for all round trips; less than polling every quarter of a second would take.
    """

    ROUND_TRIPS = 50
    TIMEOUT = 20.0

    @pytest.fixture
    def open_kv(self) -> OpenKV:
        """Return a function that opens the store, always the same one, which is empty at first."""
        raise NotImplementedError("define the fixture open_kv in the subclass")

    def test_forked_children(self, kv: KV) -> None:
        """Forked children use the store that their parent has opened, at the same time as the parent."""
        lease = kv.grant(60)
        kv.commit(puts=[Put("count", "0"), Put("leased", "0", lease.id)])
        position = kv.wait("leased")

        def work() -> None:
            use_inherited(kv, lease, position)

        children = [start_child(work) for _ in range(3)]
        work()
        assert [wait_child(child) for child in children] == [0] * 3
        items = kv.get_many(["count", "leased"])
        assert [item.value for item in items if item is not None] == ["40", "1"]

    def test_notified_by_another_process(self, kv: KV, open_kv: OpenKV) -> None:
        """Two processes notify each other without polling."""
        position = kv.wait()

        def respond() -> None:
            with open_kv() as theirs:
                position = theirs.wait()
                for number in range(self.ROUND_TRIPS):
                    while theirs.get(f"request/{number}") is None:
                        position = theirs.wait("request/", position, timeout=LONG)
                    theirs.commit(puts=[Put(f"response/{number}", "1")])

        child = start_child(respond)
        start = time.monotonic()
        for number in range(self.ROUND_TRIPS):
            kv.commit(puts=[Put(f"request/{number}", "1")])
            while kv.get(f"response/{number}") is None:
                position = kv.wait("response/", position, timeout=LONG)
        duration = time.monotonic() - start
        assert wait_child(child) == 0
        assert duration < self.TIMEOUT


def use_inherited(kv: KV, lease: Lease, position: int) -> None:
    """Write, extend a lease and wait, with the store, lease and position of the parent."""
    for _ in range(10):
        add_one(kv)
    kv.extend(lease)
    kv.commit(puts=[Put("leased", "1", lease.id)])
    assert kv.wait("leased", position, timeout=LONG) != position


class OwnServer(Protocol):
    """A server for the exclusive use of a test, on 127.0.0.1."""

    url: str
    port: int

    def start(self) -> None:
        """Start it again with its data."""

    def stop(self) -> None:
        """Shut it down."""

    def kill(self) -> None:
        """Kill it."""


class ServerContract:
    """The contract of stores on a server while the server is down.

    Attributes:
        TIMEOUT: seconds for which operations are retried.
        UNREACHABLE: the error message if no server listens.
        DOWN: the error message if the server is down.
    """

    TIMEOUT = 0.5
    UNREACHABLE = "did not answer"
    DOWN = "did not answer"

    @pytest.fixture
    def server(self) -> OwnServer:
        """Return a running server."""
        raise NotImplementedError("define the fixture server in the subclass")

    def open_on(self, server: OwnServer, port: int = 0, timeout: float = LONG) -> KV:
        """Open the store, by the port of the server or of a proxy."""
        url = server.url.replace(f":{server.port}", f":{port or server.port}")
        return backends.fetch({"connection": url, "timeout": timeout})

    def test_server_restarts(self, server: OwnServer) -> None:
        """Committed items, leases and waiting clients survive a crash of the server."""
        with self.open_on(server) as kv, self.open_on(server) as other:
            lease = kv.grant(LONG)
            version = kv.commit(puts=[Put("a", "1"), Put("leased", "1", lease.id)])
            position, others = kv.wait(), other.wait()
            waiter = Waiter(lambda: other.wait("b", others, timeout=LONG))
            server.kill()
            server.start()
            assert [item.value for item in kv.list()] == ["1", "1"]
            kv.extend(lease)
            kv.commit([Check("a", version), Check("b", ABSENT)], [Put("a", "2"), Put("b", "1")])
            assert kv.wait("b", position, timeout=LONG) != position
            assert waiter.result(LONG) not in {None, others}

    def test_server_is_down(self, server: OwnServer) -> None:
        """Operations fail after the timeout, and work again when the server is back."""
        with self.open_on(server, timeout=self.TIMEOUT) as kv:
            version = kv.commit(puts=[Put("a", "1")])
            position = kv.wait()
            server.stop()
            with pytest.raises(exc.StorageFailure, match=self.DOWN):
                kv.get("a")
            with pytest.raises(exc.StorageFailure, match=self.DOWN) as caught:
                kv.commit([Check("a", version)], [Put("a", "2")])
            assert not isinstance(caught.value, (exc.Conflict, exc.LeaseLost))
            with pytest.raises(exc.StorageFailure, match=self.DOWN):
                kv.wait("a", position, timeout=LONG)
            server.start()
            kv.commit([Check("a", version)], [Put("a", "3")])
            assert [item.value for item in kv.list()] == ["3"]
            assert kv.wait("a", position, timeout=LONG) != position

    def test_no_server(self, server: OwnServer) -> None:
        """The error names the address."""
        with self.open_on(server, port=1, timeout=self.TIMEOUT) as kv:
            assert ":1" in kv.name
            with pytest.raises(exc.StorageFailure, match=self.UNREACHABLE):
                kv.get("a")
