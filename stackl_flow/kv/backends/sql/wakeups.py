"""Wake-ups for threads that wait for changes; what arrives after a thread began to wait is not lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.clock import SYSTEM


class Waiter(Protocol):
    """What a thread waits at."""

    def wait(self, seconds: float) -> None:
        """Return after a wake-up since the last call, or after so many seconds."""


class LocalWakeups:
    """Wakes the waiting threads of this process, by counting wake-ups."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    def wake_all(self) -> None:
        """Wake all waiting threads."""
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    @contextmanager
    def waiter(self) -> Iterator[Waiter]:
        """Return what a thread waits at."""
        yield _LocalWaiter(self)

    @property
    def count(self) -> int:
        """How many wake-ups there were."""
        return self._count

    def wait_for_next(self, count: int, seconds: float) -> int:
        """Wait until there were more wake-ups than so many, and return the new count."""
        with self._changed:
            self._changed.wait_for(lambda: self._count != count, seconds)
            return self._count


class _LocalWaiter:
    """Remembers which wake-ups it has seen."""

    def __init__(self, wakeups: LocalWakeups) -> None:
        self._wakeups = wakeups
        self._count = wakeups.count

    def wait(self, seconds: float) -> None:
        self._count = self._wakeups.wait_for_next(self._count, seconds)


#: Seconds after which the listener checks whether to stop.
_CHECK_INTERVAL: Final = 0.5
#: Seconds of silence after which it checks that its connection is alive.
_PROBE_INTERVAL: Final = 20.0


class Listener(threading.Thread):
    """Listens to a notification channel of PostgreSQL, and wakes the waiting threads of this process.

    Args:
        engine: makes connections.
        channel: name of the channel.

    Attributes:
        wakeups: what the threads wait at.
        is_listening: set when the first connection listens.
    """

    def __init__(self, engine: sa.Engine, channel: str) -> None:
        super().__init__(name="stackl-flow-kv-listener", daemon=True)
        self.wakeups = LocalWakeups()
        self.is_listening = threading.Event()
        self._engine = engine
        self._channel = channel
        self._stopped = threading.Event()

    def run(self) -> None:
        """Listen until stopped; a lost connection is replaced."""
        while not self._stopped.is_set():
            try:
                self._listen()
            except sa.exc.SQLAlchemyError:
                self._stopped.wait(_CHECK_INTERVAL)  # waiting threads poll meanwhile
            except exc.StorageFailure:
                self._stopped.wait(_CHECK_INTERVAL)
            except Exception as error:
                if not isinstance(error, self._engine.dialect.loaded_dbapi.Error):
                    raise
                self._stopped.wait(_CHECK_INTERVAL)

    def _listen(self) -> None:
        pooled = self._engine.raw_connection()
        raw: Any = pooled.driver_connection
        pooled.detach()  # closed below, and not given back
        try:
            raw.autocommit = True
            raw.execute(f"LISTEN {self._channel}")
            self.is_listening.set()
            self.wakeups.wake_all()  # for what was committed before
            probe_at = SYSTEM.monotonic() + _PROBE_INTERVAL
            while not self._stopped.is_set():
                for _ in raw.notifies(timeout=_CHECK_INTERVAL, stop_after=1):
                    self.wakeups.wake_all()
                if SYSTEM.monotonic() >= probe_at:
                    raw.execute("SELECT 1")
                    probe_at = SYSTEM.monotonic() + _PROBE_INTERVAL
        finally:
            raw.close()

    def stop(self) -> None:
        """Stop listening."""
        self._stopped.set()
        self.join(2 * _CHECK_INTERVAL + 1)
