"""One lock for a directory: held by processes with ``flock``, and inside a process by a lock of its own."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from stackl_flow import exceptions as exc
from stackl_flow.kv.patience import Patience

_FIRST_PAUSE: Final = 0.0002
_LONGEST_PAUSE: Final = 0.005


class DirectoryLock:
    """Keeps writers alone and readers undisturbed; the kernel gives it back when its process dies.

    Args:
        path: the file to lock.
        timeout: how many seconds to wait for others.
    """

    def __init__(self, path: Path, timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._threads = threading.RLock()
        self._handle = -1
        self._pid = 0
        self._depth = 0

    @contextmanager
    def hold(self, *, alone: bool) -> Iterator[bool]:
        """Hold the lock.

        Args:
            alone: to write; else others may read meanwhile.

        Yields:
            True when it was not held by this thread already.

        Raises:
            StorageFailure: others hold it too long; or it is held for reading, and is wanted for writing.
        """
        with self._threads:
            if self._depth:
                if alone:
                    raise exc.StorageFailure("nothing can be written while a moment is held: leave it first")
                yield False
                return
            self._open()
            try:
                # Inside, so that an interrupt right after it does not leave the lock held.
                self._lock(fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
                self._depth += 1
                yield True
            finally:
                self._depth = 0
                fcntl.flock(self._handle, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file."""
        with self._threads:
            if self._handle >= 0:
                os.close(self._handle)
            self._handle = -1

    def _open(self) -> None:
        # A lock is shared with children that were forked, so each process has to open the file itself.
        if self._handle >= 0 and self._pid != os.getpid():
            self.close()
        if self._handle < 0:
            self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            self._pid = os.getpid()

    def _lock(self, how: int) -> None:
        patience: Patience | None = None
        while True:
            try:
                fcntl.flock(self._handle, how | fcntl.LOCK_NB)
            except BlockingIOError:
                # The lock cannot be waited for a limited time; as a rule it is held for a millisecond.
                patience = patience or Patience(self._timeout, _FIRST_PAUSE, _LONGEST_PAUSE)
                if not patience.pause():
                    raise exc.StorageFailure(
                        f"'{self._path}' was locked by another process for {self._timeout:g} s: look for one "
                        f"that is stopped, or give a longer ?timeout="
                    ) from None
            else:
                return
