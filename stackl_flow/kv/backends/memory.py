"""The in-memory store, and the reference for what a commit means: dictionaries under one lock.

``memory`` is a store of its own that lives as long as its object. ``memory://NAME`` is shared by all objects
in this process with that name, and lives as long as the process.
"""

from __future__ import annotations

import threading
from builtins import list as List  # noqa: N812  inside the class, ``list`` is the method
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

from sortedcontainers import SortedList

from stackl_flow import urls
from stackl_flow.clock import SYSTEM, Clock, boot_time
from stackl_flow.kv.items import (
    ABSENT,
    Check,
    Item,
    Lease,
    Put,
    conflict_error,
    is_satisfied,
    lease_lost_error,
)
from stackl_flow.kv.ordered import ChangeLog, keys_in_range
from stackl_flow.kv.store import KV


class _State:
    """Items in key order and the leases they are attached to. The caller holds the lock and passes the time.

    Attributes:
        revision: incremented by each commit; 1 without any.
    """

    def __init__(self) -> None:
        self.revision = 1
        self._items: dict[str, Item] = {}
        self._keys: SortedList[str] = SortedList()
        self._expiries: dict[str, float] = {}
        self._keys_of_lease: dict[str, set[str]] = {}
        self._changes = ChangeLog(since=1)

    def get(self, key: str) -> Item | None:
        return self._items.get(key)

    def iter_items(self, prefix: str, after: str, *, reverse: bool) -> Iterator[Item]:
        for key in keys_in_range(self._keys, prefix, after, reverse=reverse):
            yield self._items[key]

    def commit(
        self, checks: Iterable[Check], puts: Sequence[Put], deletes: Iterable[str], lease: str | None
    ) -> int:
        """Apply a commit and return its revision; raise ``Conflict`` or ``LeaseLost`` and change nothing."""
        for check in checks:
            item = self._items.get(check.key)
            version = ABSENT if item is None else item.version
            if not is_satisfied(check, version):
                raise conflict_error(check, version)
        if lease is not None and lease not in self._expiries:
            raise lease_lost_error(lease)
        self.revision += 1
        for key in deletes:
            self._delete(key)
        for put in puts:
            self._put(put)
        return self.revision

    def has_changed(self, prefix: str, since: int) -> bool:
        return self._changes.has_changed(prefix, since)

    def set_expiry(self, lease: Lease, now: float) -> None:
        """Grant a lease, or extend it by its whole time to live."""
        self._expiries[lease.id] = now + lease.ttl

    def has_lease(self, lease: str) -> bool:
        return lease in self._expiries

    def end_lease(self, lease: str) -> None:
        """Delete a lease and the items attached to it; nothing happens if it does not exist."""
        if self._expiries.pop(lease, None) is not None and self._keys_of_lease.get(lease):
            self.revision += 1
            for key in sorted(self._keys_of_lease[lease]):
                self._delete(key)

    def expire_leases(self, now: float) -> float | None:
        """End the expired leases; return when the next one expires, or None."""
        if not self._expiries:
            return None
        for lease in [lease for lease, expiry in self._expiries.items() if expiry <= now]:
            self.end_lease(lease)
        return min(self._expiries.values(), default=None)

    def _put(self, put: Put) -> None:
        if put.key in self._items:
            self._detach(self._items[put.key])
        else:
            self._keys.add(put.key)
        self._items[put.key] = Item(put.key, put.value, self.revision, put.lease)
        self._changes.append(self.revision, put.key)
        if put.lease is not None:
            self._keys_of_lease.setdefault(put.lease, set()).add(put.key)

    def _delete(self, key: str) -> None:
        item = self._items.pop(key, None)
        if item is not None:
            self._detach(item)
            self._keys.remove(key)
            self._changes.append(self.revision, key)

    def _detach(self, item: Item) -> None:
        if item.lease is not None:
            keys = self._keys_of_lease[item.lease]
            keys.discard(item.key)
            if not keys:
                del self._keys_of_lease[item.lease]


class _SharedState:
    """A state with its lock, on which waiters wait for changes."""

    def __init__(self) -> None:
        self.state = _State()
        self.changed = threading.Condition(threading.RLock())


_NAMED: Final[dict[str, _SharedState]] = {}
_NAMED_LOCK: Final = threading.Lock()


class MemoryKV(KV):
    """Keeps items in this process.

    Args:
        conf: "connection" is "memory" or "memory://NAME".
        clock: the clock by which leases expire: its boot time.
    """

    is_shared = False

    def __init__(self, conf: Mapping[str, Any] | None = None, clock: Clock = SYSTEM) -> None:
        super().__init__(conf, clock=clock)
        url = urls.parse(conf or "memory").read_options()
        self._name = url.masked_url
        if url.location:
            with _NAMED_LOCK:
                self._shared = _NAMED.setdefault(url.location, _SharedState())
        else:
            self._shared = _SharedState()

    @property
    def name(self) -> str:
        return self._name

    def close(self) -> None:
        """Do nothing: the items live as long as the object, or with a name as long as the process."""

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        with self._shared.changed:  # commits wait meanwhile
            yield

    @contextmanager
    def _locked(self) -> Iterator[_State]:
        """Lock the state and expire its leases; notify the waiters if its revision has changed at the end."""
        shared = self._shared
        with shared.changed:
            before = shared.state.revision
            shared.state.expire_leases(boot_time(self.clock))
            try:
                yield shared.state
            finally:
                if shared.state.revision != before:
                    shared.changed.notify_all()

    def _get(self, key: str) -> Item | None:
        with self._locked() as state:
            return state.get(key)

    def _list(self, prefix: str, after: str, limit: int | None, *, reverse: bool) -> List[Item]:
        with self._locked() as state:
            return List(islice(state.iter_items(prefix, after, reverse=reverse), limit))

    def _commit(
        self, checks: Sequence[Check], puts: Sequence[Put], deletes: Sequence[str], lease: str | None
    ) -> int:
        with self._locked() as state:
            return state.commit(checks, puts, deletes, lease)

    def _grant(self, lease: Lease) -> Lease:
        with self._locked() as state:
            state.set_expiry(lease, boot_time(self.clock))
            # Waiters sleep until the next expiry that they have seen; this one may come earlier.
            self._shared.changed.notify_all()
            return lease

    def _extend(self, lease: Lease) -> bool:
        with self._locked() as state:
            exists = state.has_lease(lease.id)
            if exists:
                state.set_expiry(lease, boot_time(self.clock))
            return exists

    def _revoke(self, lease: Lease) -> None:
        with self._locked() as state:
            state.end_lease(lease.id)

    def _wait(self, prefix: str, since: int, timeout: float | None) -> int:
        # A thread waits in real time, whatever clock the leases go by.
        clock, shared = self.clock, self._shared
        deadline = None if timeout is None else SYSTEM.monotonic() + timeout
        with shared.changed:
            while True:
                with self._locked() as state:
                    if since == 0 or state.has_changed(prefix, since):
                        return state.revision
                    next_expiry = state.expire_leases(boot_time(clock))
                remaining = None if deadline is None else deadline - SYSTEM.monotonic()
                if remaining is not None and remaining <= 0:
                    return since
                until_expiry = None if next_expiry is None else max(next_expiry - boot_time(clock), 0.001)
                delays = [delay for delay in (remaining, until_expiry) if delay is not None]
                shared.changed.wait(min(delays, default=None))
