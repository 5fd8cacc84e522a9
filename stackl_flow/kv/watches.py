"""Watches that outlive a call of ``wait``, so that the next call from the same mark has nothing to ask."""

from __future__ import annotations

import os
import threading
from typing import Final, Generic, Protocol, TypeVar

#: How many are kept while no thread waits at them.
_MAX_IDLE: Final = 8


class AnyWatch(Protocol):
    """A wait for changes of keys with a prefix, since a mark; for one thread at a time."""

    prefix: str
    mark: int

    def close(self) -> None:
        """Release what it holds."""


W = TypeVar("W", bound=AnyWatch)


class Watches(Generic[W]):
    """The watches of one store that no thread waits at. A forked process has none of its parent's."""

    def __init__(self) -> None:
        self._idle: list[W] = []
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def take(self, prefix: str, mark: int) -> W | None:
        """Return the watch that waits since a mark, if there is one."""
        with self._lock:
            if self._pid != os.getpid():
                self._idle, self._pid = [], os.getpid()
            for watch in self._idle:
                if watch.prefix == prefix and watch.mark == mark:
                    self._idle.remove(watch)
                    return watch
        return None

    def give_back(self, watch: W) -> None:
        """Keep a watch for the next call."""
        with self._lock:
            self._idle.append(watch)
            surplus = self._idle.pop(0) if len(self._idle) > _MAX_IDLE else None
        if surplus is not None:
            surplus.close()

    def close(self) -> None:
        """Close all of them."""
        with self._lock:
            idle, self._idle = self._idle, []
        if self._pid == os.getpid():
            for watch in idle:
                watch.close()
