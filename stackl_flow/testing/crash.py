"""Crash tests: kill a process at each point where it writes, and check that the flow resumes.

Stored state changes only with a write. So each writing method of a backend has two *write points*, one before
and one after it, numbered from 1 in the order of the run, and `CrashBackend` sends a signal to its own
process at the n-th one. SIGKILL is a crash; SIGSTOP makes an owner that is stopped, superseded and continued.

`CrashBackend` wraps a real backend, which really writes. Side effects of tasks go to an `EffectLog`, a file
that survives the process.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stackl_flow.persistence.base import Backend
from stackl_flow.testing.interception import InterceptedBackend

#: Environment variable with the write point at which a fresh process is signalled.
VARIABLE = "STACKL_FLOW_CRASH_AT"

#: The methods of a connection that write.
WRITES = (
    "save_logbook",
    "add_logbooks",
    "update_flow_details",
    "update_atom_details",
    "take_ownership",
    "add_atoms",
    "checkpoint",
)


class EffectLog:
    """A file of lines, each synced when it is appended; created by the first one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, line: str) -> None:
        """Append a line, without a line end; it is on disk when this returns."""
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, f"{line}\n".encode())
            os.fsync(handle)
        finally:
            os.close(handle)

    def lines(self) -> list[str]:
        """Return all lines, oldest first; none if the file does not exist."""
        return self.path.read_text().splitlines() if self.path.exists() else []


class CrashBackend(InterceptedBackend):
    """A backend that forwards all calls and signals its own process at one write point.

    Args:
        backend: the real backend.
        at: the write point; 0 for none, None for the value of the environment variable.
        signum: the signal.

    Attributes:
        points: how many write points have been passed.
    """

    def __init__(
        self, backend: Backend, at: int | None = None, signum: signal.Signals = signal.SIGKILL
    ) -> None:
        super().__init__(backend, self._write)
        self._at = int(os.environ.get(VARIABLE, "0")) if at is None else at
        self._signal = signum
        self.points = 0

    def point(self) -> None:
        """Count a write point and send the signal if it is the selected one."""
        self.points += 1
        if self.points == self._at:
            os.kill(os.getpid(), self._signal)

    def _write(self, method: str, call: Callable[[], Any]) -> Any:
        if method not in WRITES:
            return call()
        self.point()
        result = call()
        self.point()
        return result


def start_child(work: Callable[[], object]) -> int:
    """Run a function in a forked process and return the process id.

    The process exits with 0, or with 1 and the error on standard error. Forking is faster than a fresh
    interpreter, and safe while the caller runs no other threads.
    """
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    except BaseException:  # noqa: BLE001 - the child must exit here
        traceback.print_exc()
    finally:
        os._exit(status)


def wait_child(child: int) -> int:
    """Wait for the end of a child; return its exit status, or the negative number of the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def wait_stopped(child: int) -> int | None:
    """Wait until a child is stopped by SIGSTOP and return None, or until it ends, as `wait_child`."""
    status = os.waitpid(child, os.WUNTRACED)[1]
    return None if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)


def in_child(work: Callable[[], object]) -> int:
    """Run a function in a forked process and return its exit status, as `wait_child`."""
    return wait_child(start_child(work))
