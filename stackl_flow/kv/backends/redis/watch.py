"""Waiting for changes on Redis: one blocking read of a stream, which outlives a call of ``wait``.

A root of keys (see ``ordered.root_of``), such as a board, has a stream of its own, so that a waiter gets
nothing of other roots. The read is sent once, and answered by the server when there is an entry, or after
some seconds. A call of ``wait`` whose time-out is shorter leaves it outstanding, and the next one continues
to wait for the same answer: while nothing changes, that is all that is sent.

A lease that expires wakes nothing by itself: the next operation deletes it, and logs that. So a waiter asks
for the status when the next lease is to expire. A lease that was granted since is of no concern before an
item is attached to it, which is a change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from stackl_flow.clock import SYSTEM
from stackl_flow.kv.ordered import root_of

#: Seconds after which the server answers a read without an entry.
_BLOCK: Final = 5.0
#: Seconds between two questions for the status, at least, and at most.
_MIN_STATUS_INTERVAL: Final = 0.02
_MAX_STATUS_INTERVAL: Final = 15.0
#: Seconds to wait after a connection was lost.
_RETRY_DELAY: Final = 0.05


class Status(NamedTuple):
    """The state of a store.

    Attributes:
        revision: the last one.
        expires_in: seconds until the next lease expires.
        logged: the revision up to which the streams of roots are complete.
        last: that of the last change of the root.
    """

    revision: int
    expires_in: float
    logged: int
    last: int


class Entry(NamedTuple):
    """An entry of a stream: its revision, the one before it, and the changed keys (none if too many)."""

    revision: int
    before: int
    keys: list[str]


class Server(NamedTuple):
    """What a watch asks the server.

    Attributes:
        status: returns the status, for a root.
        acquire: returns a connection for one reader.
        release: gives a connection back.
        stream: returns the name of the stream of a root.
        errors: the errors of the client.
        check: raises an error for one of the client after which another attempt is in vain.
        timeout: seconds to wait for an answer.
    """

    status: Callable[[str], Status]
    acquire: Callable[[str], Any]
    release: Callable[[Any], None]
    stream: Callable[[str], str]
    errors: tuple[type[Exception], ...]
    check: Callable[[Exception], None]
    timeout: float


class Watch:
    """A wait for changes of keys with a prefix.

    Args:
        prefix: the prefix.
        mark: the revision since which it waits.
        server: the server.
    """

    def __init__(self, prefix: str, mark: int, server: Server) -> None:
        self.prefix = prefix
        self.mark = mark
        self._server = server
        self._root = root_of(prefix)
        self._stream = server.stream(self._root)
        self._last = 0
        self._position = mark
        self._status_due = -math.inf
        self._connection: Any = None
        self._answer_due = math.inf

    def wait(self, timeout: float | None) -> int:
        """Wait for a change; return a new mark, or the same after the time-out."""
        deadline = math.inf if timeout is None else SYSTEM.monotonic() + timeout
        if timeout is not None and timeout <= 0:
            self._status_due = -math.inf  # what has been committed may not have arrived yet
        while True:
            if SYSTEM.monotonic() >= self._status_due and self._check_status():
                return self.mark
            remaining = deadline - SYSTEM.monotonic()
            seconds = min(remaining, self._status_due - SYSTEM.monotonic())
            if self._last > self._position:
                seconds = self._server.timeout  # there is an entry, which arrives at once
            for entry in self._read(max(seconds, 0.0)):
                # What is missing before an entry was trimmed from the stream: it may have had the prefix.
                is_missing = entry.before > self._position
                if is_missing or not entry.keys or any(key.startswith(self.prefix) for key in entry.keys):
                    self._set_mark(entry.revision)
                    return self.mark
                self._position = entry.revision
            if remaining <= 0:
                return self.mark

    def close(self) -> None:
        """Close the connection with the outstanding read."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()
            self._server.release(connection)

    def _set_mark(self, revision: int) -> None:
        self.mark = self._position = max(revision, self.mark + 1)
        self._status_due = -math.inf  # there may be a new lease

    def _check_status(self) -> bool:
        """Ask for the status; return whether something may have changed that no stream has."""
        status = self._server.status(self._root)
        self._last = status.last
        delay = min(max(status.expires_in, _MIN_STATUS_INTERVAL), _MAX_STATUS_INTERVAL)
        self._status_due = SYSTEM.monotonic() + delay
        if status.revision < self._position:  # the server has lost its data
            self.close()
            self.mark = self._position = status.revision
            return True
        if self._root and status.logged < status.revision and status.revision > self._position:
            self._set_mark(status.revision)
            return True
        return False

    def _read(self, seconds: float) -> Iterator[Entry]:
        """Return the entries that the outstanding read is answered with, after so many seconds at most."""
        try:
            if self._connection is None:
                self._send()
            if self._connection.can_read(timeout=seconds):
                answer = self._connection.read_response()
                connection, self._connection = self._connection, None
                self._server.release(connection)
                return _entries(answer)
            if SYSTEM.monotonic() <= self._answer_due:
                return iter(())
            self.close()
        except self._server.errors as error:
            self.close()
            self._server.check(error)
            SYSTEM.sleep(_RETRY_DELAY)
        self._status_due = -math.inf  # that finds out whether the server is gone
        return iter(())

    def _send(self) -> None:
        block = min(_BLOCK, self._server.timeout / 2)
        connection = self._server.acquire(self._stream)
        self._connection = connection
        connection.send_command(
            "XREAD", "BLOCK", max(int(block * 1000), 1), "STREAMS", self._stream, f"{self._position}-1"
        )
        self._answer_due = SYSTEM.monotonic() + block + self._server.timeout


def _entries(answer: Any) -> Iterator[Entry]:
    for _, entries in answer or ():
        for name, fields in entries:
            values = dict(zip(fields[::2], fields[1::2], strict=True))
            revision = int(name.partition("-")[0])
            yield Entry(revision, int(values.get("before", revision - 1)), values["keys"].split())
