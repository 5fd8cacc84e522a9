"""Kills a process at every system call that changes files, also in the middle of a write, or has it fail.

`stackl_flow.testing.crash` and `faults` work at the methods of a backend; this works at the system calls of
one that stores files. The calls are really made.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

#: The functions of ``os`` that change files and directories, as far as this library uses them.
CALLS: Final = (
    "fdatasync",
    "fsync",
    "ftruncate",
    "mkdir",
    "mkfifo",
    "rename",
    "replace",
    "rmdir",
    "unlink",
    "write",
)


class FileCalls:
    """Counts the calls that change files and kills the process at one of them.

    Args:
        at: the call before which the process is killed, from 1; 0 for none.
        torn: if that call is a write, half of it is written first.
        error: what the call raises; None kills the process.
        times: how many calls in a row raise it.

    Attributes:
        made: how many calls were made.
        failed: name of the call that failed; empty if none did.
    """

    def __init__(
        self, at: int = 0, *, torn: bool = False, error: OSError | None = None, times: int = 1
    ) -> None:
        self._at = at
        self._torn = torn
        self._error = error
        self._last = at + times - 1
        self.failed = ""
        self.made = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count while the context is open; for a child process that does nothing else."""
        real = {name: getattr(os, name) for name in CALLS if hasattr(os, name)}
        for name, call in real.items():
            setattr(os, name, self._counting(call))
        try:
            yield
        finally:
            for name, call in real.items():
                setattr(os, name, call)

    def _counting(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any, **kwargs: Any) -> Any:
            self.made += 1
            if self._at <= self.made <= self._last:
                if self._torn and call.__name__ == "write":
                    handle, data = args
                    call(handle, bytes(data[: len(data) // 2]))
                if self._error is not None:
                    self.failed = call.__name__
                    raise self._error
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return counting
