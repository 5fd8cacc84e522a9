"""The reference place: items in dictionaries, under one lock.

``memory`` is a place of its own that lives as long as its object; ``memory://name`` is one place for all who
say that name in this process, kept until the process ends.
"""

from __future__ import annotations

import threading
from builtins import list as List  # noqa: N812  inside the class, ``list`` is the verb
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

from stackl_flow import settings
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.kv.base import KV
from stackl_flow.kv.items import Check, Item, Lease, Put
from stackl_flow.kv.shelf import Shelf


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
        place = settings.parse(conf or "memory").take()
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
