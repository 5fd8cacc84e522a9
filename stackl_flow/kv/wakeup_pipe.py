"""Wakes those who wait, in whatever process: each has a named pipe in one folder, and writers ring them all.

Nobody looks at the disk over and over, and nothing is left to do when a process dies: a pipe that nobody
reads cannot be opened for writing, which is how its owner is known to be gone.
"""

from __future__ import annotations

import errno
import os
import select
import uuid
from pathlib import Path
from typing import Self

_HIDDEN = "."


class Bell:
    """A pipe to wait at, for one thread and one wait; to be used in a ``with``.

    Args:
        folder: where the pipes are.
    """

    def __init__(self, folder: Path) -> None:
        name = f"{os.getpid()}-{uuid.uuid4().hex}"
        self._path = folder / name
        self._hidden = folder / f"{_HIDDEN}{name}"
        self._ends: list[int] = []

    def __enter__(self) -> Self:
        # Not to be seen before it is open: a ringer takes a pipe that nobody reads away.
        os.mkfifo(self._hidden)
        self._ends.append(os.open(self._hidden, os.O_RDONLY | os.O_NONBLOCK))
        # As long as one end for writing is open, reading never says that the file has ended.
        self._ends.append(os.open(self._hidden, os.O_WRONLY | os.O_NONBLOCK))
        self._hidden.rename(self._path)
        return self

    def __exit__(self, *_: object) -> None:
        for path in (self._path, self._hidden):
            path.unlink(missing_ok=True)
        for end in self._ends:
            os.close(end)

    def wait(self, seconds: float) -> None:
        """Wait until somebody rings.

        Args:
            seconds: how long at most.
        """
        ready, _, _ = select.select(self._ends[:1], [], [], seconds)
        if ready:
            os.read(self._ends[0], 4096)


def ring(folder: Path) -> None:
    """Wake all who wait.

    Args:
        folder: where the pipes are; nothing happens if it is not there.
    """
    try:
        names = os.listdir(folder)  # noqa: PTH208  names are all that is needed, at every commit
    except FileNotFoundError:
        return
    for name in names:
        if name.startswith(_HIDDEN):
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
            pass  # rung so often that it is full: its owner will wake; or its owner has just gone
        finally:
            os.close(pipe)
