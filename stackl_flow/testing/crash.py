"""Kills a process at every point where it writes, so that "survives a crash" is a test and not a hope.

A crash is only interesting beside a write: between two writes nothing that is remembered changes. So each
verb that writes to a backend is a pair of *write points*, one before it and one after it, numbered from 1
as the run goes on, and `CrashBackend` sends the process a signal at the n-th. SIGKILL is the crash; SIGSTOP
leaves an owner that is paused, superseded and woken again.

The backend under it is the real one and really writes. What tasks did outside the database goes to a
`Ledger`, which outlives the process as their side effects would.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, cast

from stackl_flow.persistence.base import Backend, Connection

#: Environment variable with the number of the write point to die at, for a process started afresh.
VARIABLE = "STACKL_FLOW_CRASH_AT"

#: The verbs of a connection that write.
WRITES = (
    "save_logbook",
    "update_flow_details",
    "update_atom_details",
    "take_ownership",
    "add_atoms",
    "checkpoint",
)


class Ledger:
    """A file to which every line is appended and synced at once.

    Args:
        path: the file; made when it is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, line: str) -> None:
        """Append a line; it has reached the disk when this returns.

        Args:
            line: text without a line end.
        """
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, f"{line}\n".encode())
            os.fsync(handle)
        finally:
            os.close(handle)

    def lines(self) -> list[str]:
        """Return every line so far, oldest first; none when there is no file."""
        return self.path.read_text().splitlines() if self.path.exists() else []


class CrashBackend(Backend):
    """A backend that passes everything on, and signals its own process at one write point.

    Args:
        backend: the real one.
        at: number of the write point; 0 is none, None is what the environment variable says.
        sign: the signal to send.

    Attributes:
        points: how many write points have been passed.
    """

    def __init__(
        self, backend: Backend, at: int | None = None, sign: signal.Signals = signal.SIGKILL
    ) -> None:
        super().__init__(backend.conf, backend.codec, backend.clock)
        self._backend = backend
        self._at = int(os.environ.get(VARIABLE, "0")) if at is None else at
        self._sign = sign
        self.points = 0

    @property
    def name(self) -> str:
        """What the real backend is called."""
        return self._backend.name

    def get_connection(self) -> Connection:
        """Make a connection whose writes are write points.

        Returns:
            The connection.
        """
        return cast("Connection", CrashConnection(self._backend.get_connection(), self))

    def close(self) -> None:
        """Close the real backend."""
        self._backend.close()

    def point(self) -> None:
        """Pass one write point, or die at it."""
        self.points += 1
        if self.points == self._at:
            os.kill(os.getpid(), self._sign)


class CrashConnection:
    """A connection that passes everything on, with a write point before and after each write.

    Args:
        connection: the real one.
        backend: who counts the points.
    """

    def __init__(self, connection: Connection, backend: CrashBackend) -> None:
        self._connection = connection
        self.backend = backend

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._connection, name)
        if name not in WRITES:
            return found

        def write(*args: Any, **kwargs: Any) -> Any:
            self.backend.point()
            result = found(*args, **kwargs)
            self.backend.point()
            return result

        return write

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def start_child(work: Callable[[], object]) -> int:
    """Run a function in a forked process.

    Fork is cheap beside a fresh interpreter, and safe as long as the caller has started no thread.

    Args:
        work: what to do there; the process ends with 0, or with 1 and the error on standard error.

    Returns:
        The process id.
    """
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    except BaseException:  # noqa: BLE001 - the child must end here, whatever it is
        traceback.print_exc()
    finally:
        os._exit(status)


def wait_child(child: int) -> int:
    """Wait until a child ends.

    Args:
        child: its process id.

    Returns:
        Its exit status, or minus the number of the signal that killed it.
    """
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def wait_stopped(child: int) -> int | None:
    """Wait until a child is stopped by SIGSTOP, or ends.

    Args:
        child: its process id.

    Returns:
        None when it is stopped and can be woken with SIGCONT, else as `wait_child`.
    """
    status = os.waitpid(child, os.WUNTRACED)[1]
    return None if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status)


def in_child(work: Callable[[], object]) -> int:
    """Run a function in a forked process to its end.

    Args:
        work: what to do there.

    Returns:
        As `wait_child`.
    """
    return wait_child(start_child(work))
