"""Board events: what happened to which job, stored with each change and delivered to every watching process.

Each commit of a board also appends an entry with its events to the board's change feed (see
``stackl_flow.coordination.change_feed``). An event has the record of its job without the details, which are
stored once, with the job.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.coordination.change_feed import FeedWatcher, FeedWriter
from stackl_flow.jobboards.keys import EVENT, BoardKeys
from stackl_flow.jobboards.record import JobRecord
from stackl_flow.jobboards.transactions import Writes
from stackl_flow.jobboards.unreadable import UNREADABLE_ERRORS
from stackl_flow.kv.items import Limits
from stackl_flow.kv.store import KV
from stackl_flow.notifier import RestrictedNotifier

_LOG: Final = redaction.get_logger(__name__)

POSTED: Final = "POSTED"
CLAIMED: Final = "CLAIMED"
ABANDONED: Final = "ABANDONED"
REMOVAL: Final = "REMOVAL"
EVENTS: Final = (POSTED, CLAIMED, ABANDONED, REMOVAL)

#: A kind of event, and the job that it is about.
Event = tuple[str, JobRecord]


def describe(events: Iterable[Event]) -> str:
    """Return the text of events for the feed."""
    return json.dumps([[kind, record.to_summary()] for kind, record in events])


class BoardNotifier(RestrictedNotifier):
    """Notifies of the events of a board; the board watches its feed only once there is a callback."""

    def __init__(self) -> None:
        super().__init__(EVENTS)
        #: Called after each registration.
        self.on_register: Callable[[], None] | None = None

    def register(self, event_type: str, *args: Any, **kwargs: Any) -> None:
        """Register a callback for ``POSTED``, ``CLAIMED``, ``ABANDONED``, ``REMOVAL`` or ``ANY``."""
        super().register(event_type, *args, **kwargs)
        if self.on_register is not None:
            self.on_register()


class EventWriter:
    """Commits the writes of a board together with their events."""

    def __init__(self, kv: KV, keys: BoardKeys) -> None:
        self._kv = kv
        self._feed = FeedWriter(keys.prefix(EVENT))

    @property
    def limits(self) -> Limits:
        """What a commit may contain."""
        return self._kv.limits

    def write(self, events: Iterable[Event], writes: Writes) -> int:
        """Commit, and return the version of what was put.

        Raises:
            Conflict: a check failed.
            LeaseLost: the lease of a put has expired.
        """
        return self._kv.commit(*self.with_events(writes, events))

    def commit(self, events: Iterable[Event], writes: Writes) -> bool:
        """Commit, and return False if a check failed: another process was faster."""
        try:
            self.write(events, writes)
        except exc.Conflict:
            return False
        return True

    def with_events(self, writes: Writes, events: Iterable[Event]) -> Writes:
        """Return the writes with an entry of the feed added."""
        entry, expired = self._feed.append(describe(events))
        return Writes(writes.checks, (*writes.puts, entry), (*writes.deletes, *expired))


class ThreadEventWriter(threading.local):
    """A writer for each thread, for posts that become visible when another transaction commits.

    Entries of one writer must become visible in their order, which transactions of several threads do not
    keep.
    """

    def __init__(self, kv: KV, keys: BoardKeys) -> None:
        self.writer = EventWriter(kv, keys)


class EventWatcher:
    """Watches the feed of a board and calls back with the kind and the record of each event."""

    def __init__(self, kv: KV, keys: BoardKeys, callback: Callable[[str, JobRecord], None]) -> None:
        self._callback = callback
        self._feed = FeedWatcher(kv, keys.prefix(EVENT), self._receive)

    def start(self) -> None:
        """Watch for events from now on; has no effect if started."""
        self._feed.start()

    def stop(self) -> None:
        """Stop, and wait for the thread unless called from it."""
        self._feed.stop()

    def _receive(self, entry: str) -> None:
        try:
            events = [(str(kind), JobRecord.from_text(text)) for kind, text in json.loads(entry)]
        except (*UNREADABLE_ERRORS, ValueError, TypeError, RecursionError) as error:
            # The feed deletes its entries by itself.
            _LOG.warning("an entry of the change feed cannot be read and is passed over: %s", error)
            return
        for kind, record in events:
            if kind in EVENTS:
                self._callback(kind, record)
