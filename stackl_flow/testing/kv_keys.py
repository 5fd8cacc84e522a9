"""The part of the contract of places that is about keys, their order and what is refused."""

from __future__ import annotations

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.kv.items import Item, Put, quote
from stackl_flow.kv.store import KV

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
