"""Wake-ups between processes of one machine: each waiter has a named pipe in a folder, writers write to all.

A killed waiter leaves nothing to clean up: a pipe without a reader cannot be opened for writing, so the next
writer removes it. Wake-ups are hints. A waiter that cannot make its pipe, or that a writer may not wake, such
as one of another user, notices a change when it polls; and no error here can make a commit look failed.

A pipe may have a tag in its name: it is written to only by those who name that tag, or none.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import stat
import uuid
from collections.abc import Container
from pathlib import Path
from typing import Final, Self

from stackl_flow import redaction

_LOG: Final = redaction.get_logger(__name__)

_HIDDEN_PREFIX = "."
_TAG = "@"


class WakeupPipe:
    """The named pipe of one waiting thread at a time. Use it as a context manager.

    Args:
        folder: the folder of all pipes; it must exist.
        tag: which writers wake it; empty for all.
    """

    def __init__(self, folder: Path, tag: str = "") -> None:
        name = f"{os.getpid()}-{uuid.uuid4().hex}{_TAG if tag else ''}{tag}"
        self._path = folder / name
        self._hidden_path = folder / f"{_HIDDEN_PREFIX}{name}"
        self._handles: list[int] = []

    def __enter__(self) -> Self:
        try:
            # Hidden until it is open, because writers remove a pipe without a reader.
            os.mkfifo(self._hidden_path)
            self._handles.append(os.open(self._hidden_path, os.O_RDONLY | os.O_NONBLOCK))
            # With a write end of our own, reads never report the end of the file.
            self._handles.append(os.open(self._hidden_path, os.O_WRONLY | os.O_NONBLOCK))
            self._hidden_path.rename(self._path)
        except OSError as error:
            _LOG.debug("no wake-ups in '%s', which is polled instead: %s", self._path.parent, error)
            self.__exit__()
        return self

    def __exit__(self, *_: object) -> None:
        for path in (self._path, self._hidden_path):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        while self._handles:
            os.close(self._handles.pop())

    def wait(self, seconds: float) -> bool:
        """Wait for a wake-up, at most for so many seconds; whether there was one since the last call."""
        poll = select.poll()  # select() takes no handle above 1023
        for handle in self._handles[:1]:
            poll.register(handle, select.POLLIN)
        if not poll.poll(seconds * 1000):
            return False
        os.read(self._handles[0], 4096)
        return True


def wake_all(folder: Path, tags: Container[str] | None = None) -> None:
    """Wake the waiters of a folder, as far as that is possible; a missing folder has none.

    Args:
        folder: the folder of the pipes.
        tags: wake only those with one of these tags, and those without; None for all.
    """
    try:
        names = os.listdir(folder)  # noqa: PTH208  names are all that is needed, at every commit
    except FileNotFoundError:
        return
    except OSError as error:
        _LOG.debug("waiters in '%s' are not woken: %s", folder, error)
        return
    for name in names:
        if name.startswith(_HIDDEN_PREFIX):
            continue
        tag = name.partition(_TAG)[2]
        if tag and tags is not None and tag not in tags:
            continue
        path = os.path.join(folder, name)  # noqa: PTH118  the same
        try:
            _wake(path)
        except OSError as error:
            if error.errno in {errno.ENXIO, errno.ENOENT}:
                with contextlib.suppress(OSError):
                    Path(path).unlink(missing_ok=True)
            else:
                _LOG.debug("the waiter at '%s' is not woken: %s", path, error)


def _wake(path: str) -> None:
    # What lies there may be a link of another user, or no pipe.
    pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        if stat.S_ISFIFO(os.fstat(pipe).st_mode):
            os.write(pipe, b"!")
    except (BlockingIOError, BrokenPipeError):
        pass  # the pipe is full, so its waiter will wake; or the waiter has just gone
    finally:
        os.close(pipe)
