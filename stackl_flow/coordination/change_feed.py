"""The news of a board: what each writer did last, so that those who watch hear of it and lose nothing.

A change of items says that something happened, not what. So each commit also leaves a line under its writer's
name, in the order of his doings; who watches keeps for each writer the last line he has read. A watcher that
falls further behind one writer than ``KEPT`` lines misses the oldest of them.
"""

from __future__ import annotations

import itertools
import json
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.jobboards.job import Posting
from stackl_flow.jobboards.keys import Places
from stackl_flow.jobboards.transactions import Writes
from stackl_flow.kv.items import Put
from stackl_flow.kv.store import KV

_LOG = redaction.get_logger(__name__)

KEPT: Final = 200
NEWS: Final = "news"
#: How many seconds a watcher that is to stop may take to notice.
_STOP_WITHIN: Final = 0.5


#: What happened to a job: POSTED, CLAIMED, ABANDONED or REMOVAL; and the job.
Event = tuple[str, Posting]


class Writer:
    """Commits, with a line of news.

    Args:
        kv: where to.
        places: makes keys.
    """

    def __init__(self, kv: KV, places: Places) -> None:
        self._kv = kv
        self._places = places
        self._name = uuid.uuid4().hex[:12]
        self._count = itertools.count(1)

    def write(self, events: Iterable[Event], writes: Writes) -> int:
        """Commit.

        Args:
            events: what happens by it.
            writes: the commit.

        Returns:
            The version of what was put.

        Raises:
            Conflict: a check does not hold.
            LeaseLost: the lease of a put ran out.
        """
        return self._kv.commit(*self.told(writes, events))

    def commit(self, events: Iterable[Event], writes: Writes) -> bool:
        """Commit, and say whether that landed.

        Args:
            events: what happens by it.
            writes: the commit.

        Returns:
            False if somebody was quicker.
        """
        try:
            self.write(events, writes)
        except exc.Conflict:
            return False
        return True

    def told(self, writes: Writes, events: Iterable[Event]) -> Writes:
        """Add a line to a commit, and take the oldest away.

        Args:
            writes: the commit.
            events: what happens by it.

        Returns:
            The new commit.
        """
        count = next(self._count)
        line = json.dumps([[kind, posting.to_text()] for kind, posting in events])
        deletes = writes.deletes
        if count > KEPT:
            deletes += (self._key(count - KEPT),)
        return Writes(writes.checks, (*writes.puts, Put(self._key(count), line)), deletes)

    def _key(self, count: int) -> str:
        return self._places.at(NEWS, self._name, f"{count:012d}")


class WriterBeside(threading.local):
    """A writer for each thread's posts that land when somebody else commits: the lines of one come in order.

    Args:
        kv: where to.
        places: makes keys.
    """

    def __init__(self, kv: KV, places: Places) -> None:
        self.writer = Writer(kv, places)


class Watcher:
    """Reads the news in a thread of its own and passes them on.

    Args:
        kv: where they are.
        places: makes keys.
        tell: called with the kind and the posting of each.
    """

    def __init__(self, kv: KV, places: Places, tell: Callable[[str, Posting], None]) -> None:
        self._kv = kv
        self._places = places
        self._tell = tell
        self._seen: dict[str, str] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; what was written before is no news. Starting twice does no more."""
        if self._thread is not None:
            return
        self._stopped.clear()
        mark = self._kv.wait(self._places.head(NEWS))
        for writer in self._writers():
            last = self._kv.list(self._head(writer), limit=1, reverse=True)
            self._seen[writer] = last[0].key if last else ""
        self._thread = threading.Thread(target=self._watch, args=(mark,), name="jobboard-news", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; the thread is gone when this returns, unless it is the one that calls."""
        self._stopped.set()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _watch(self, mark: int) -> None:
        while not self._stopped.is_set():
            try:
                # Bounded, because nothing else wakes it when it is to stop.
                now = self._kv.wait(self._places.head(NEWS), mark, timeout=_STOP_WITHIN)
                if now != mark:
                    for writer in self._writers():
                        self._read(writer)
                mark = now
            except exc.StorageFailure as error:
                _LOG.warning("the news of board '%s' cannot be read: %s", self._places.root[:-1], error)
                self._stopped.wait(_STOP_WITHIN)

    def _read(self, writer: str) -> None:
        for item in self._kv.list(self._head(writer), after=self._seen.get(writer, "")):
            self._seen[writer] = item.key
            for kind, text in json.loads(item.value):
                self._tell(kind, Posting.from_text(text))

    def _writers(self) -> Iterator[str]:
        """Find who has written, jumping from one to the next."""
        after = ""
        while True:
            found = self._kv.list(self._places.head(NEWS), after=after, limit=1)
            if not found:
                return
            writer = found[0].key.removeprefix(self._places.head(NEWS)).partition("/")[0]
            yield writer
            after = self._head(writer) + "~"

    def _head(self, writer: str) -> str:
        return self._places.head(NEWS, writer)
