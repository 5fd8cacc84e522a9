"""A change feed: an ordered log of what each writer did, for processes that watch a store.

A key-value store notifies that something changed, not what. So each commit of a writer also appends an entry,
under the writer's own prefix and with a sequence number, and a watcher remembers for each writer the last
entry that it has read. Entries of one writer arrive in order and once; there is no order between writers. A
writer keeps its last ``KEPT`` entries: a watcher that falls further behind misses the oldest.

Keys: ``<prefix><writer>/<sequence number>``. What an entry says is up to its writer.
"""

from __future__ import annotations

import itertools
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Final

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.kv.items import Put
from stackl_flow.kv.store import KV

_LOG = redaction.get_logger(__name__)

#: Number of entries that are kept for each writer.
KEPT: Final = 200
#: Seconds within which a watcher notices that it is to stop.
_STOP_INTERVAL: Final = 0.5


class FeedWriter:
    """Makes the entries of one writer, to be committed by the caller with the change that they describe."""

    def __init__(self, prefix: str) -> None:
        self._all = prefix
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._prefix = f"{self._all}{uuid.uuid4().hex[:12]}/"
        self._sequence = itertools.count(1)

    def append(self, entry: str) -> tuple[Put, tuple[str, ...]]:
        """Return the put of a new entry, and the keys of entries that expire with it.

        Args:
            entry: JSON text.
        """
        if self._pid != os.getpid():
            self._begin()  # a forked child is another writer than its parent
        number = next(self._sequence)
        expired = (self._key(number - KEPT),) if number > KEPT else ()
        return Put(self._key(number), entry), expired

    def _key(self, number: int) -> str:
        return f"{self._prefix}{number:012d}"


class FeedWatcher:
    """Reads the entries of all writers, in a thread, and passes their texts to a callback."""

    def __init__(self, kv: KV, prefix: str, callback: Callable[[str], None]) -> None:
        self._kv = kv
        self._prefix = prefix
        self._callback = callback
        self._last_read: dict[str, str] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Watch for entries from now on; has no effect if started."""
        if self._thread is not None:
            return
        self._stopped.clear()
        mark = self._kv.wait(self._prefix)
        for writer in self._writers():
            last = self._kv.list(writer, limit=1, reverse=True)
            self._last_read[writer] = last[0].key if last else ""
        self._thread = threading.Thread(target=self._watch, args=(mark,), name="change-feed", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait for the thread unless called from it."""
        self._stopped.set()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _watch(self, mark: int) -> None:
        while not self._stopped.is_set():
            try:
                # With a time-out, because nothing else wakes the thread when it is to stop.
                new_mark = self._kv.wait(self._prefix, mark, timeout=_STOP_INTERVAL)
                if new_mark != mark:
                    for writer in self._writers():
                        self._read(writer)
                mark = new_mark
            except exc.StorageFailure as error:
                _LOG.warning("cannot read the change feed '%s': %s", self._prefix, error)
                self._stopped.wait(_STOP_INTERVAL)

    def _read(self, writer: str) -> None:
        for item in self._kv.list(writer, after=self._last_read.get(writer, "")):
            self._last_read[writer] = item.key
            self._callback(item.value)

    def _writers(self) -> Iterator[str]:
        """Find the prefixes of all writers, skipping from one to the next."""
        after = ""
        while True:
            found = self._kv.list(self._prefix, after=after, limit=1)
            if not found:
                return
            writer = f"{self._prefix}{found[0].key.removeprefix(self._prefix).partition('/')[0]}/"
            yield writer
            after = writer + "~"
