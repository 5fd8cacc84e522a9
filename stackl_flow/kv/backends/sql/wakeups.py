"""Wake-ups for threads that wait for changes; what arrives after a thread began to wait is not lost."""

from __future__ import annotations

import hashlib
import math
import select
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Protocol

import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.kv.wakeup_pipe import WakeupPipe


@lru_cache(maxsize=1_000)
def tag_of(root: str) -> str:
    """Return the name of a root (see ``ordered.root_of``) in channels and pipes; empty for none."""
    return hashlib.sha256(root.encode()).hexdigest()[:12] if root else ""


class Waiter(Protocol):
    """What one thread at a time waits at.

    Attributes:
        poll_interval: seconds after which to look for changes without a wake-up.
        first_poll_interval: the same soon after a change.
    """

    first_poll_interval: float

    @property
    def poll_interval(self) -> float:
        """Seconds after which to look for changes without a wake-up."""
        ...

    def wait(self, seconds: float) -> bool:
        """Return after a wake-up, or after so many seconds; whether there was one since the last call."""

    def close(self) -> None:
        """Release it."""


class LocalWakeups:
    """Wakes the waiting threads of this process, by counting wake-ups for each tag."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._counts: Counter[str] = Counter()

    def wake(self, tags: Iterable[str] | None = None) -> None:
        """Wake the threads that wait for one of these tags, or for all; None wakes all threads."""
        with self._changed:
            self._counts.update(self._counts.keys() if tags is None else {*tags, ""})
            self._changed.notify_all()

    def waiter(
        self,
        tag: str,
        poll_interval: float | Callable[[], float],
        first_poll_interval: float = math.inf,
    ) -> LocalWaiter:
        """Return what a thread waits at.

        Args:
            tag: what wakes it; empty for everything.
            poll_interval: see ``Waiter``.
            first_poll_interval: see ``Waiter``.
        """
        return LocalWaiter(self, tag, poll_interval, first_poll_interval)

    def count(self, tag: str) -> int:
        """How many wake-ups there were for a tag."""
        with self._changed:
            self._counts[tag] += 0
            return self._counts[tag]

    def wait_for_next(self, tag: str, count: int, seconds: float) -> int:
        """Wait until there were more wake-ups than so many, and return the new count."""
        with self._changed:
            self._changed.wait_for(lambda: self._counts[tag] != count, seconds)
            return self._counts[tag]


class LocalWaiter:
    """Remembers which wake-ups it has seen."""

    def __init__(
        self,
        wakeups: LocalWakeups,
        tag: str,
        poll_interval: float | Callable[[], float],
        first_poll_interval: float,
    ) -> None:
        self.first_poll_interval = first_poll_interval
        self._wakeups = wakeups
        self._tag = tag
        self._poll_interval = poll_interval
        self._count = wakeups.count(tag)

    @property
    def poll_interval(self) -> float:
        """Seconds after which to look for changes without a wake-up."""
        return self._poll_interval() if callable(self._poll_interval) else self._poll_interval

    def wait(self, seconds: float) -> bool:
        """Wait for a wake-up."""
        before, self._count = self._count, self._wakeups.wait_for_next(self._tag, self._count, seconds)
        return self._count != before

    def close(self) -> None:
        """Do nothing."""


class PipeWaiter:
    """Waits at a named pipe, which commits of all processes of the machine write to."""

    def __init__(self, folder: Path, tag: str, poll_interval: float) -> None:
        self.poll_interval = self.first_poll_interval = poll_interval
        self._pipe = WakeupPipe(folder, tag)
        self._pipe.__enter__()

    def wait(self, seconds: float) -> bool:
        """Wait for a wake-up."""
        return self._pipe.wait(seconds)

    def close(self) -> None:
        """Remove the pipe."""
        self._pipe.__exit__()


#: Seconds after which a lost listener tries again.
_RETRY_DELAY: Final = 0.5
#: Seconds of silence after which it checks that its connection is alive.
_PROBE_INTERVAL: Final = 20.0


class Listener(threading.Thread):
    """Listens to notification channels of PostgreSQL, and wakes the waiting threads of this process.

    Each root of keys has a channel, so that what is of another one does not reach this process.

    Args:
        engine: makes connections.
        channel: the channel that earlier releases notify, and the beginning of the names of all others.

    Attributes:
        wakeups: what the threads wait at.
    """

    def __init__(self, engine: sa.Engine, channel: str) -> None:
        super().__init__(name="stackl-flow-kv-listener", daemon=True)
        self.wakeups = LocalWakeups()
        self._engine = engine
        self._channel = channel
        self._stopped = threading.Event()
        self._tags: dict[str, threading.Event] = {}
        self._alarm, self._alarm_end = socket.socketpair()
        self._alarm.setblocking(False)
        self._is_connected = False

    @property
    def is_listening(self) -> bool:
        """Whether notifications arrive now."""
        return self._is_connected

    def add(self, tag: str, timeout: float) -> None:
        """Listen to the channel of a tag, too; return when it does, or after so many seconds."""
        listens = self._tags.get(tag)
        if listens is None:
            listens = self._tags[tag] = threading.Event()
            self._raise_alarm()
        listens.wait(timeout)

    def run(self) -> None:
        """Listen until stopped; a lost connection is replaced."""
        while not self._stopped.is_set():
            try:
                self._listen()
            except (sa.exc.SQLAlchemyError, exc.StorageFailure, OSError):
                self._stopped.wait(_RETRY_DELAY)  # waiting threads poll meanwhile
            except Exception as error:
                if not isinstance(error, self._engine.dialect.loaded_dbapi.Error):
                    raise
                self._stopped.wait(_RETRY_DELAY)
        self._alarm.close()
        self._alarm_end.close()

    def _listen(self) -> None:
        pooled = self._engine.raw_connection()
        raw: Any = pooled.driver_connection
        pooled.detach()  # closed below, and not given back
        try:
            raw.autocommit = True
            raw.add_notify_handler(self._receive)  # for what arrives with the answer of a statement
            raw.execute(f"LISTEN {self._channel}")
            listening: set[str] = set()
            while not self._stopped.is_set():
                for tag in [tag for tag in self._tags if tag not in listening]:
                    if tag:
                        raw.execute(f"LISTEN {self._channel}_{tag}")
                    listening.add(tag)
                    self._tags[tag].set()
                if not self._is_connected:
                    self._is_connected = True
                    self.wakeups.wake()  # for what was committed before
                self._wait_for_input(raw)
        finally:
            self._is_connected = False
            self.wakeups.wake()  # from now on the threads poll
            raw.close()

    def _wait_for_input(self, raw: Any) -> None:
        poll = select.poll()  # select() takes no handle above 1023
        for handle in (raw.fileno(), self._alarm_end.fileno()):
            poll.register(handle, select.POLLIN)
        ready = [handle for handle, _ in poll.poll(_PROBE_INTERVAL * 1000)]
        if self._alarm_end.fileno() in ready:
            self._alarm_end.recv(4096)
        if not ready:
            raw.execute("SELECT 1")
        raw.pgconn.consume_input()
        while (notification := raw.pgconn.notifies()) is not None:
            self._wake(notification.relname.decode())

    def _receive(self, notification: Any) -> None:
        self._wake(notification.channel)

    def _wake(self, channel: str) -> None:
        tag = channel.removeprefix(self._channel).removeprefix("_")
        self.wakeups.wake([tag] if tag else None)

    def _raise_alarm(self) -> None:
        with suppress(OSError):  # it is full, or closed
            self._alarm.send(b"!")

    def stop(self) -> None:
        """Stop listening."""
        self._stopped.set()
        self._raise_alarm()
        self.join(_RETRY_DELAY + 1)
