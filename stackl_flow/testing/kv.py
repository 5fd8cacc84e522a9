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
from collections.abc import Callable, Iterator

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.kv.items import ABSENT, PRESENT, Check, Item, Put
from stackl_flow.kv.store import KV
from stackl_flow.testing.kv_keys import KeyContract, keys
from stackl_flow.testing.kv_leases import LeaseContract
from stackl_flow.testing.kv_machine import compare_with_reference

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

    #: How many random histories are compared with the reference, and of how many steps each.
    EXAMPLES = 40
    STEPS = 30

    @pytest.mark.timeout(300)
    def test_like_the_reference(self, open_kv: OpenKV) -> None:
        """Whatever is done in whatever order, the place answers as memory does."""
        with open_kv() as kv, open_kv() as other:
            pass_time = self.pass_time if self.STEPPED else None
            compare_with_reference((kv, other), pass_time, self.EXAMPLES, self.STEPS)
