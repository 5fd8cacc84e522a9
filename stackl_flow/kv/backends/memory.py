"""The reference place: items in dictionaries, under one lock.

``memory`` is a place of its own that lives as long as its object; ``memory://name`` is one place for all who
say that name in this process, kept until the process ends.

Items and leases in dictionaries, as memory keeps them: what a commit means, said once.

No lock, no clock, no waiting: whoever holds a shelf brings those.
"""

from __future__ import annotations

import threading
from builtins import list as List  # noqa: N812  inside the class, ``list`` is the verb
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

from sortedcontainers import SortedList

from stackl_flow import urls
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.kv.items import ABSENT, Check, Item, Lease, Put, changed, holds, lease_lost
from stackl_flow.kv.store import KV

# Whoever waits comes back soon; one who was away longer looks anew.
_REMEMBERED: Final = 4096


def above(prefix: str) -> str:
    """Find the end of the keys with a prefix.

    Args:
        prefix: the prefix.

    Returns:
        A text behind all such keys, and before all others that come after them.
    """
    return prefix + "\x7f"


def between(keys: SortedList[str], prefix: str, after: str, *, reverse: bool) -> Iterator[str]:
    """Go over keys in order.

    Args:
        keys: all keys.
        prefix: only those that begin so.
        after: only those behind this one, in reverse before it; empty for all.
        reverse: the last one first.

    Returns:
        The keys.
    """
    low, high, from_low = prefix, above(prefix), True
    if after and reverse:
        high = min(high, after)
    elif after and after >= low:
        low, from_low = after, False
    return keys.irange(low, high, (from_low, False), reverse=reverse) if low <= high else iter(())


class Shelf:
    """Items in the order of their keys, with the leases they stand on.

    Attributes:
        revision: grows by one with each commit; an empty shelf is at 1.
    """

    def __init__(self) -> None:
        self.revision = 1
        self._items: dict[str, Item] = {}
        self._keys: SortedList[str] = SortedList()
        self._leases: dict[str, float] = {}
        self._on: dict[str, set[str]] = {}
        self._changes: deque[tuple[int, str]] = deque(maxlen=_REMEMBERED)

    def get(self, key: str) -> Item | None:
        """Read an item.

        Args:
            key: its key.

        Returns:
            The item, or None.
        """
        return self._items.get(key)

    def walk(self, prefix: str, after: str, *, reverse: bool) -> Iterator[Item]:
        """Go over items in the order of their keys.

        Args:
            prefix: only items whose keys begin so.
            after: only items behind this key, in reverse before it; empty for all.
            reverse: the last key first.

        Yields:
            The items.
        """
        for key in between(self._keys, prefix, after, reverse=reverse):
            yield self._items[key]

    def commit(
        self, checks: Iterable[Check], puts: Sequence[Put], deletes: Iterable[str], lease: str | None
    ) -> int:
        """Write items, all of them or none.

        Args:
            checks: what must hold.
            puts: the items to write.
            deletes: the keys to delete.
            lease: the lease of the puts.

        Returns:
            The new revision.

        Raises:
            Conflict: a check does not hold.
            LeaseLost: there is no such lease.
        """
        for check in checks:
            item = self._items.get(check.key)
            found = ABSENT if item is None else item.version
            if not holds(check, found):
                raise changed(check, found)
        if lease is not None and lease not in self._leases:
            raise lease_lost(lease)
        self.revision += 1
        for key in deletes:
            self._delete(key)
        for put in puts:
            self._put(put)
        return self.revision

    def has_changed(self, prefix: str, since: int) -> bool:
        """Say whether items with a prefix may have changed.

        Args:
            prefix: the prefix.
            since: the revision that is known.

        Returns:
            True if so; also when it is too long ago to be remembered.
        """
        for revision, key in reversed(self._changes):
            if revision <= since:
                return False
            if key.startswith(prefix):
                return True
        return self.revision > since and len(self._changes) == _REMEMBERED

    def lend(self, lease: Lease, now: float) -> None:
        """Make a lease, or let one that is there last its whole time again.

        Args:
            lease: the lease.
            now: the time, in seconds.
        """
        self._leases[lease.id] = now + lease.ttl

    def knows(self, lease: str) -> bool:
        """Say whether there is a lease.

        Args:
            lease: its identity.

        Returns:
            True if there is.
        """
        return lease in self._leases

    def end(self, lease: str) -> None:
        """Delete a lease and what stands on it.

        Args:
            lease: its identity.
        """
        if self._leases.pop(lease, None) is not None and self._on.get(lease):
            self.revision += 1
            for key in sorted(self._on[lease]):
                self._delete(key)

    def expire(self, now: float) -> float | None:
        """End the leases that ran out.

        Args:
            now: the time, in seconds.

        Returns:
            When the next one runs out, or None.
        """
        if not self._leases:
            return None
        for lease in [lease for lease, until in self._leases.items() if until <= now]:
            self.end(lease)
        return min(self._leases.values(), default=None)

    def _put(self, put: Put) -> None:
        if put.key in self._items:
            self._leave(self._items[put.key])
        else:
            self._keys.add(put.key)
        self._items[put.key] = Item(put.key, put.value, self.revision, put.lease)
        self._changes.append((self.revision, put.key))
        if put.lease is not None:
            self._on.setdefault(put.lease, set()).add(put.key)

    def _delete(self, key: str) -> None:
        item = self._items.pop(key, None)
        if item is not None:
            self._leave(item)
            self._keys.remove(key)
            self._changes.append((self.revision, key))

    def _leave(self, item: Item) -> None:
        """Take an item off its lease."""
        if item.lease is not None:
            on = self._on[item.lease]
            on.discard(item.key)
            if not on:
                del self._on[item.lease]


class _Room:
    """A shelf and those who wait for it."""

    def __init__(self) -> None:
        self.shelf = Shelf()
        self.changed = threading.Condition(threading.RLock())


_NAMED: Final[dict[str, _Room]] = {}
_NAMED_LOCK: Final = threading.Lock()


class MemoryKV(KV):
    """Keeps items in this process.

    Args:
        conf: "connection" is "memory" or "memory://name".
        clock: tells when leases run out.
    """

    shared = False

    def __init__(self, conf: Mapping[str, Any] | None = None, clock: Clock = SYSTEM) -> None:
        super().__init__(conf, clock=clock)
        place = urls.parse(conf or "memory").take()
        self._name = place.url
        if place.location:
            with _NAMED_LOCK:
                self._room = _NAMED.setdefault(place.location, _Room())
        else:
            self._room = _Room()

    @property
    def name(self) -> str:
        """What to call this place in messages."""
        return self._name

    def close(self) -> None:
        """Do nothing: the items go when nobody refers to them any more."""

    @contextmanager
    def moment(self) -> Iterator[None]:
        """Let reads inside a ``with`` see one moment: writers wait meanwhile.

        Yields:
            Nothing.
        """
        with self._room.changed:
            yield

    @contextmanager
    def _open(self) -> Iterator[Shelf]:
        """Give the shelf as it is now, and wake those who wait if it is another one afterwards."""
        room = self._room
        with room.changed:
            before = room.shelf.revision
            room.shelf.expire(self.clock.now())
            try:
                yield room.shelf
            finally:
                if room.shelf.revision != before:
                    room.changed.notify_all()

    def _get(self, key: str) -> Item | None:
        with self._open() as shelf:
            return shelf.get(key)

    def _list(self, prefix: str, after: str, limit: int | None, *, reverse: bool) -> List[Item]:
        with self._open() as shelf:
            return List(islice(shelf.walk(prefix, after, reverse=reverse), limit))

    def _commit(
        self, checks: Sequence[Check], puts: Sequence[Put], deletes: Sequence[str], lease: str | None
    ) -> int:
        with self._open() as shelf:
            return shelf.commit(checks, puts, deletes, lease)

    def _grant(self, lease: Lease) -> Lease:
        with self._open() as shelf:
            shelf.lend(lease, self.clock.now())
            # Whoever waits for the next lease to run out has to look again: this one may be shorter.
            self._room.changed.notify_all()
            return lease

    def _extend(self, lease: Lease) -> bool:
        with self._open() as shelf:
            known = shelf.knows(lease.id)
            if known:
                shelf.lend(lease, self.clock.now())
            return known

    def _revoke(self, lease: Lease) -> None:
        with self._open() as shelf:
            shelf.end(lease.id)

    def _wait(self, prefix: str, since: int, timeout: float | None) -> int:
        # A thread waits in real time, whatever clock the leases go by.
        clock, room = self.clock, self._room
        deadline = None if timeout is None else SYSTEM.monotonic() + timeout
        with room.changed:
            while True:
                with self._open() as shelf:
                    if since == 0 or shelf.has_changed(prefix, since):
                        return shelf.revision
                    runs_out = shelf.expire(clock.now())
                left = None if deadline is None else deadline - SYSTEM.monotonic()
                if left is not None and left <= 0:
                    return since
                lasts = None if runs_out is None else max(runs_out - clock.now(), 0.001)
                room.changed.wait(min((span for span in (left, lasts) if span is not None), default=None))
