"""What every place of items has to do, as tests to be inherited.

A place is done when this passes::

    class TestMine(KVContract):
        @pytest.fixture
        def open_kv(self, tmp_path):
            return lambda: backends.fetch(f"mine://{tmp_path}")

Where the place goes by a clock that is passed in, a `SteppedClock`, `pass_time` and `STEPPED` save waiting.
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
#: Every character that a key may hold.
PRINTABLE = "".join(chr(code) for code in range(33, 127) if chr(code) != "/")


def keys(items: list[Item]) -> list[str]:
    """Name the keys of items.

    Args:
        items: the items.

    Returns:
        Their keys, in their order.
    """
    return [item.key for item in items]


class KeyContract:
    """What holds for keys."""

    def test_order(self, kv: KV) -> None:
        """Items come in the order of the bytes of their keys, forwards and backwards."""
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
        """A list can be read on from where one was, also when that item is gone."""
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
        """A key may hold every printable character; other keys are refused before anything is written."""
        odd = [
            f"{PRINTABLE[:60]}/{PRINTABLE[60:]}",
            "a/...",
            ".a",
            "a.json/b",
            "a.json",
            "a.d/b",
            "x" * 200,
            quote("\u00e9/ .") + "/" + quote(".."),
        ]
        kv.commit(puts=[Put(key, key) for key in odd])
        assert [(item.key, item.value) for item in other.list()] == [(key, key) for key in sorted(odd)]
        for key in ("", "/", "a/", "/a", "a//b", "a b", "\u00e9", "a/..", ".", "x" * 201, "a/" * 200 + "a"):
            with pytest.raises(exc.InvalidFormat, match="key"):
                kv.commit(puts=[Put("fine", "1"), Put(key, "1")])
            with pytest.raises(exc.InvalidFormat, match="key"):
                kv.get(key)
        assert kv.get("fine") is None

    def test_written_twice(self, kv: KV) -> None:
        """A commit that writes one item twice is refused."""
        for puts, deletes in (
            ([Put("k", "1"), Put("k", "2")], []),
            ([Put("k", "1")], ["k"]),
            ([], ["k", "k"]),
        ):
            with pytest.raises(exc.InvalidFormat, match="twice"):
                kv.commit(puts=puts, deletes=deletes)
        assert kv.list() == []

    def test_limits_are_kept(self, kv: KV) -> None:
        """What is more than the place takes is refused at once, with a word about what to do."""
        value, _, operations = kv.limits
        if value is not None:
            with pytest.raises(exc.StorageFailure, match="codec"):
                kv.commit(puts=[Put("k", "x" * (value + 1))])
        if operations is not None:
            with pytest.raises(exc.StorageFailure, match="less at once"):
                kv.commit(puts=[Put(f"k{n}", "1") for n in range(operations + 1)])
        else:
            kv.commit(puts=[Put(f"k{n}", "1") for n in range(1000)])
        assert len(kv.list()) == (1000 if operations is None else 0)


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


OpenKV = Callable[[], KV]


class ItemContract:
    """What holds for reading and writing."""

    @pytest.fixture
    def open_kv(self) -> OpenKV:
        """Give a function that opens the place, always the same and empty at first."""
        raise NotImplementedError("a subclass of the contract brings its own open_kv fixture")

    @pytest.fixture
    def kv(self, open_kv: OpenKV) -> Iterator[KV]:
        """Open the place."""
        with open_kv() as kv:
            yield kv

    @pytest.fixture
    def other(self, open_kv: OpenKV) -> Iterator[KV]:
        """Open the place once more, as another process would."""
        with open_kv() as kv:
            yield kv

    def test_nothing_there(self, kv: KV) -> None:
        """An empty place has nothing, and deleting nothing is no error."""
        assert kv.get("a/b") is None
        assert kv.list() == []
        kv.commit(deletes=["a/b"])
        assert kv.list() == []

    def test_put_and_read(self, kv: KV, other: KV) -> None:
        """What was put is read, by everybody, with the version that the commit told."""
        version = kv.commit(puts=[Put("a/b", "1"), Put("c", "2")])
        assert version > 0
        assert kv.get("a/b") == other.get("a/b") == Item("a/b", "1", version, None)
        assert other.list() == [Item("a/b", "1", version), Item("c", "2", version)]

    def test_versions_grow(self, kv: KV) -> None:
        """Each write of an item has a higher version, also after it was deleted."""
        versions = []
        for value in "abc":
            versions.append(kv.commit(puts=[Put("k", value)]))
            item = kv.get("k")
            assert item == Item("k", value, versions[-1])
            kv.commit(deletes=["k"] if value == "b" else [])
        assert versions == sorted(set(versions))

    def test_others_keep_their_version(self, kv: KV) -> None:
        """The version of an item does not change when others are written."""
        first = kv.commit(puts=[Put("a", "1")])
        kv.commit(puts=[Put("b", "1")])
        kv.commit(deletes=["b"])
        assert kv.get("a") == Item("a", "1", first)

    def test_values_come_back(self, kv: KV, other: KV) -> None:
        """Any text comes back as it was: empty, long, of all scripts, with line ends."""
        values = ["", '"\\""', "a\nb\r\n", "\u00e9\u2028\U0001f600", "x" * 100_000]
        kv.commit(puts=[Put(f"v/{n}", value) for n, value in enumerate(values)])
        assert [item.value for item in other.list("v/")] == values
        assert [getattr(other.get(f"v/{n}"), "value", None) for n in range(len(values))] == values

    def test_many_at_once(self, kv: KV, other: KV) -> None:
        """Several items and lists come as they would one by one, also more than a server takes in one go."""
        made = [f"m/{n:03}" for n in range(300)]
        for start in range(0, 300, 100):
            kv.commit(puts=[Put(key, key) for key in made[start : start + 100]])
        asked = ["m/007", "none", *made, "m/007"]
        assert other.get_many(asked) == [other.get("m/007"), None, *other.list("m/"), other.get("m/007")]
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
        """A commit lands when each of its checks holds."""
        first = kv.commit([Check("k", ABSENT)], [Put("k", "1")])
        second = kv.commit([Check("k", first), Check("other", ABSENT)], [Put("k", "2")])
        kv.commit([Check("k", PRESENT), Check("k", second)], deletes=["k"])
        kv.commit([Check("k", ABSENT)])
        assert kv.get("k") is None

    def test_failed_check_writes_nothing(self, kv: KV, other: KV) -> None:
        """When one check does not hold, nothing lands, and the error names the item."""
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

    def test_deleted_and_made_again(self, kv: KV) -> None:
        """A check of a version does not hold for an item made anew, however it looks."""
        first = kv.commit(puts=[Put("k", "same")])
        kv.commit(deletes=["k"])
        kv.commit(puts=[Put("k", "same")])
        with pytest.raises(exc.Conflict, match="k"):
            kv.commit([Check("k", first)], deletes=["k"])
        assert kv.get("k") is not None

    def test_many_writers(self, open_kv: OpenKV) -> None:
        """Of many who write what they have read, none writes over another."""

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

    def test_one_moment(self, kv: KV) -> None:
        """Reads inside a moment see what is there; writing goes on after it."""
        kv.commit(puts=[Put("a", "1"), Put("b", "1")])
        with kv.snapshot():
            assert kv.get("a") is not None
            with kv.snapshot():
                assert keys(kv.list()) == ["a", "b"]
            assert kv.get_many(["a", "b"]) == kv.list()
        kv.commit(deletes=["a"])
        assert keys(kv.list()) == ["b"]


def add_one(kv: KV) -> None:
    """Add one to the item "count", however many do the same.

    Args:
        kv: the place.
    """
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
    """The whole contract; a subclass brings the ``open_kv`` fixture."""


class ProcessContract:
    """What holds between processes; to be inherited beside ``KVContract`` by places that several reach.

    Attributes:
        ROUNDS: how often two processes wake each other.
        WITHIN: seconds that this takes at most; less than if each of them looked every quarter of a second.
    """

    ROUNDS = 50
    WITHIN = 20.0

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
                        seen = theirs.wait("ask/", seen, timeout=LONG)
                    theirs.commit(puts=[Put(f"answer/{number}", "1")])

        child = start_child(answer)
        began, seen = time.monotonic(), mark
        for number in range(self.ROUNDS):
            kv.commit(puts=[Put(f"ask/{number}", "1")])
            while kv.get(f"answer/{number}") is None:
                seen = kv.wait("answer/", seen, timeout=LONG)
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
    assert kv.wait("leased", mark, timeout=LONG) != mark


class OwnServer(Protocol):
    """A server that nobody else uses.

    Attributes:
        url: its address.
        port: where it listens on 127.0.0.1.
    """

    url: str
    port: int

    def start(self) -> None:
        """Start it again, with the data that it had."""

    def stop(self) -> None:
        """Stop it in order."""

    def kill(self) -> None:
        """Kill it at once."""


class ServerContract:
    """What holds for a place on a server.

    Attributes:
        TIMEOUT: for how many seconds a server that is gone is waited for.
        NOBODY: what is said where there is no server.
        GONE: what is said of a server that is gone.
    """

    TIMEOUT = 0.5
    NOBODY = "did not answer"
    GONE = "did not answer"

    @pytest.fixture
    def server(self) -> OwnServer:
        """Give a server of one's own that runs."""
        raise NotImplementedError("a subclass of the contract brings its own server fixture")

    def reach(self, server: OwnServer, port: int = 0, timeout: float = LONG) -> KV:
        """Open the place on a server.

        Args:
            server: the server.
            port: the port by which to reach it; its own if left out.
            timeout: for how many seconds to try.

        Returns:
            The place.
        """
        url = server.url.replace(f":{server.port}", f":{port or server.port}")
        return backends.fetch({"connection": url, "timeout": timeout})

    def test_killed_and_started_again(self, server: OwnServer) -> None:
        """What was committed is there; leases go on, and so does who waits."""
        with self.reach(server) as kv, self.reach(server) as other:
            lease = kv.grant(LONG)
            version = kv.commit(puts=[Put("a", "1"), Put("leased", "1", lease.id)])
            mark, others = kv.wait(), other.wait()
            waiter = Waiter(lambda: other.wait("b", others, timeout=LONG))
            server.kill()
            server.start()
            assert [item.value for item in kv.list()] == ["1", "1"]
            kv.extend(lease)
            kv.commit([Check("a", version), Check("b", ABSENT)], [Put("a", "2"), Put("b", "1")])
            assert kv.wait("b", mark, timeout=LONG) != mark
            assert waiter.result(LONG) not in {None, others}

    def test_gone_for_longer_than_anybody_waits(self, server: OwnServer) -> None:
        """Who asks is told, and goes on when the server is there again."""
        with self.reach(server, timeout=self.TIMEOUT) as kv:
            version = kv.commit(puts=[Put("a", "1")])
            mark = kv.wait()
            server.stop()
            with pytest.raises(exc.StorageFailure, match=self.GONE):
                kv.get("a")
            with pytest.raises(exc.StorageFailure, match=self.GONE) as caught:
                kv.commit([Check("a", version)], [Put("a", "2")])
            assert not isinstance(caught.value, (exc.Conflict, exc.LeaseLost))
            with pytest.raises(exc.StorageFailure, match=self.GONE):
                kv.wait("a", mark, timeout=LONG)
            server.start()
            kv.commit([Check("a", version)], [Put("a", "3")])
            assert [item.value for item in kv.list()] == ["3"]
            assert kv.wait("a", mark, timeout=LONG) != mark

    def test_nobody_there(self, server: OwnServer) -> None:
        """It is said where nobody answered, and what to do."""
        with self.reach(server, port=1, timeout=self.TIMEOUT) as kv:
            assert ":1" in kv.name
            with pytest.raises(exc.StorageFailure, match=self.NOBODY):
                kv.get("a")
