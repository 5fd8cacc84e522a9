"""A write in the making: what was read is checked when it lands; what is to be written can be read.

It lands in one commit. Only where a place takes no commit of that size do parts of it go apart: new pages
that nobody reads before the rest has landed go first, and deletions of what nobody reads any more go last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from stackl_flow.kv.base import KV
from stackl_flow.kv.items import ABSENT, Check, Item, Put


class Draft:
    """Collects what one transaction reads and writes, until it is committed as a whole.

    Args:
        kv: the place.
        ahead: what to read at once, as ``look_below`` does.

    Attributes:
        limits: what the place takes.
        version: that of all that was put, once it is committed.
    """

    def __init__(self, kv: KV, ahead: Iterable[str] = ()) -> None:
        self.limits = kv.limits
        self.version = ABSENT
        self._kv = kv
        self._read: dict[str, Item | None] = {}
        self._below: dict[str, dict[str, Item]] = {}
        self._puts: dict[str, str] = {}
        self._first: dict[str, str] = {}
        self._deletes: set[str] = set()
        self._unread: set[str] = set()
        self._last: set[str] = set()
        self.look_below(ahead)

    def look(self, keys: Iterable[str]) -> None:
        """Read several values in one go, as ``get`` would one by one.

        Args:
            keys: their keys.
        """
        wanted = [key for key in keys if key not in self._read and self._told_below(key) is None]
        self._read.update(zip(wanted, self._kv.get_many(wanted), strict=True))

    def look_below(self, prefixes: Iterable[str]) -> None:
        """Read all that is below some prefixes in one go, for ``get`` and ``items`` to tell it.

        Nothing is read where a list is not of one moment: there whoever reads what changes with an item has
        to read that item first.

        Args:
            prefixes: the beginnings of keys, each with a "/" at its end.
        """
        if self._kv.lists_one_moment:
            wanted = [prefix for prefix in prefixes if self._told_below(prefix) is None]
            for prefix, found in zip(wanted, self._kv.list_many(wanted), strict=True):
                self._below[prefix] = {item.key: item for item in found}

    def _told_below(self, key: str) -> dict[str, Item] | None:
        """Give what was read below a prefix that a key, or another prefix, begins with."""
        at = key.find("/") if self._below else -1
        while at >= 0:
            found = self._below.get(key[: at + 1])
            if found is not None:
                return found
            at = key.find("/", at + 1)
        return None

    def get(self, key: str) -> str | None:
        """Read a value; the commit lands only if it is still the same.

        Args:
            key: its key.

        Returns:
            The value, or None.
        """
        if key in self._puts:
            return self._puts[key]
        if key not in self._read:
            told = self._told_below(key)
            self._read[key] = self._kv.get(key) if told is None else told.get(key)
        item = self._read[key]
        return None if item is None or key in self._deletes else item.value

    def items(self, prefix: str) -> list[Item]:
        """Read items; nothing is checked for them, so something that changes with them has to be read too.

        Args:
            prefix: the beginning of their keys.

        Returns:
            The items in order.
        """
        told = self._told_below(prefix)
        stored = self._kv.list(prefix) if told is None else told.values()
        found = {
            item.key: item for item in stored if item.key.startswith(prefix) and item.key not in self._deletes
        }
        written = (key for key in self._puts if key.startswith(prefix))
        found.update((key, Item(key, self._puts[key], ABSENT)) for key in written)
        return [found[key] for key in sorted(found)]

    def put(self, key: str, value: str) -> None:
        """Write an item when all is committed.

        Args:
            key: its key.
            value: its value.
        """
        self._deletes.discard(key)
        self._puts[key] = value

    def put_first(self, key: str, value: str, guard: str) -> None:
        """Write an item that nobody reads before the rest is committed.

        Args:
            key: its key.
            value: its value.
            guard: the item that tells others of it, which was read; whoever writes the like writes that too.
        """
        self.put(key, value)
        self._first[key] = guard

    def delete(self, key: str, *, unread: bool = False, last: bool = False) -> None:
        """Delete an item when all is committed.

        Args:
            key: its key.
            unread: nobody reads it already.
            last: nobody reads it any more when the rest is committed.
        """
        self._puts.pop(key, None)
        self._deletes.add(key)
        if unread:
            self._unread.add(key)
        if last:
            self._last.add(key)

    def commit(self) -> None:
        """Write all of it, or nothing.

        Raises:
            Conflict: something that was read has changed.
        """
        if not self._puts and not self._deletes:
            return
        first, late = [], []
        if not self._fits():
            for unread in self._parts(sorted(self._unread & self._deletes)):
                self._kv.commit([self._check(key) for key in self._read], deletes=unread)
                self._deletes.difference_update(unread)
            first, late = sorted(self._first, key=lambda key: (self._first[key], key)), sorted(self._last)
        for guard, keys in groupby(first, key=self._first.__getitem__):
            self._send_first(guard, list(keys))
        self.version = self._kv.commit(
            [self._check(key) for key in self._read],
            [Put(key, value) for key, value in self._puts.items() if key not in first],
            sorted(self._deletes.difference(late)),
        )
        for part in self._parts(late):
            self._kv.commit(deletes=part)

    def _check(self, key: str) -> Check:
        item = self._read[key]
        return Check(key, ABSENT if item is None else item.version)

    def _fits(self) -> bool:
        _, size, operations = self.limits
        few = operations is None or max(len(self._puts) + len(self._deletes), len(self._read)) <= operations
        return few and (size is None or sum(len(value) for value in self._puts.values()) * 2 <= size)

    def _send_first(self, guard: str, keys: Sequence[str]) -> None:
        for part in self._parts(keys):
            puts = [Put(key, self._puts[key]) for key in part]
            known = self._read[guard]
            # The guard is written as it was: of two who do this at once, one finds that it has changed.
            again = [] if known is None else [Put(guard, known.value)]
            version = self._kv.commit([self._check(guard)], [*puts, *again])
            if known is not None:
                self._read[guard] = known._replace(version=version)

    def _parts(self, keys: Sequence[str]) -> Iterator[list[str]]:
        _, size, operations = self.limits
        part: list[str] = []
        filled = 0
        for key in keys:
            long = len(self._puts.get(key, ""))
            full = operations is not None and len(part) + 1 >= operations
            if part and (full or (size is not None and (filled + long) * 2 > size)):
                yield part
                part, filled = [], 0
            part.append(key)
            filled += long
        if part:
            yield part
