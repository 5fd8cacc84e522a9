"""Wake-ups between processes of one machine: each waiter has a named pipe in a folder, writers write to all.

No process polls the disk, and a killed waiter leaves nothing to clean up: a pipe without a reader cannot be
opened for writing, so the next writer removes it.
"""

from __future__ import annotations

import errno
import os
import select
import uuid
from pathlib import Path
from typing import Self

_HIDDEN_PREFIX = "."


class WakeupPipe:
    """The named pipe of one waiting thread, for one wait. Use it as a context manager.

    Args:
        folder: the folder of all pipes; it must exist.
    """

    def __init__(self, folder: Path) -> None:
        name = f"{os.getpid()}-{uuid.uuid4().hex}"
        self._path = folder / name
        self._hidden_path = folder / f"{_HIDDEN_PREFIX}{name}"
        self._handles: list[int] = []

    def __enter__(self) -> Self:
        # Hidden until it is open, because writers remove a pipe without a reader.
        os.mkfifo(self._hidden_path)
        self._handles.append(os.open(self._hidden_path, os.O_RDONLY | os.O_NONBLOCK))
        # With a write end of our own, reads never report the end of the file.
        self._handles.append(os.open(self._hidden_path, os.O_WRONLY | os.O_NONBLOCK))
        self._hidden_path.rename(self._path)
        return self

    def __exit__(self, *_: object) -> None:
        for path in (self._path, self._hidden_path):
            path.unlink(missing_ok=True)
        for handle in self._handles:
            os.close(handle)

    def wait(self, seconds: float) -> None:
        """Wait for a wake-up, at most for so many seconds."""
        ready, _, _ = select.select(self._handles[:1], [], [], seconds)
        if ready:
            os.read(self._handles[0], 4096)


def wake_all(folder: Path) -> None:
    """Wake all waiters of a folder; a missing folder has none."""
    try:
        names = os.listdir(folder)  # noqa: PTH208  names are all that is needed, at every commit
    except FileNotFoundError:
        return
    for name in names:
        if name.startswith(_HIDDEN_PREFIX):
            continue
        path = os.path.join(folder, name)  # noqa: PTH118  the same
        try:
            pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno not in {errno.ENXIO, errno.ENOENT}:
                raise
            Path(path).unlink(missing_ok=True)
            continue
        try:
            os.write(pipe, b"!")
        except (BlockingIOError, BrokenPipeError):
            pass  # the pipe is full, so its waiter will wake; or the waiter has just gone
        finally:
            os.close(pipe)
