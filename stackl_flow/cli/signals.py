"""Process signals: the first Ctrl-C, SIGTERM or SIGHUP requests a graceful stop, a second ends the process.

SIGHUP means that the terminal is gone. It may arrive several times, from the kernel and from the shell, so a
second one does not end the process, and it stays ignored where it is ignored, as under nohup.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

from stackl_flow.cli.errors import Exit
from stackl_flow.clock import SYSTEM

#: Seconds without a running task, after a stop was requested, until the process is ended.
_STUCK_AFTER = 15.0
_WATCH_INTERVAL = 0.5

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stop_on_signal(
    request_stop: Callable[[], None], show_message: Callable[[str], None], aborted_message: str
) -> Iterator[None]:
    """Handle SIGINT, SIGTERM and SIGHUP while something runs.

    Args:
        request_stop: called on the first signal.
        show_message: shows a message to the user.
        aborted_message: what is written when a second signal ends the process.
    """
    if threading.current_thread() is not threading.main_thread():
        # Python delivers signals to the main thread only; in other threads the caller stops us otherwise.
        yield
        return
    count, pid = 0, os.getpid()

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal count
        if os.getpid() != pid:  # a child that a task forked, such as a worker of multiprocessing.Pool
            signal.signal(number, previous[signal.Signals(number)])
            os.kill(os.getpid(), number)
            return
        if number == signal.SIGHUP:
            previous[signal.SIGHUP] = signal.SIG_IGN
        if number == signal.SIGHUP and count:
            return
        count += 1
        if count > 1:
            _write_last_message(aborted_message)
            # No clean-up: a task that hangs would delay it. For a stored flow this is the same as a crash.
            os._exit(Exit.ABORTED)
        request_stop()
        # The output may be closed, or the signal arrived in the middle of a write to it: stop all the same.
        with contextlib.suppress(OSError, RuntimeError):
            show_message("stopping after the running tasks; press Ctrl-C again to abort immediately")

    previous = {
        number: signal.signal(number, handle)
        for number in _SIGNALS
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class LeaveWhenStuck:
    """Ends the process if it does not end by itself after a stop: a context manager around all of it.

    A store that does not answer may hold the main thread for about a minute. With no task running there is
    nothing to wait for, and claims end with their leases.

    Args:
        message: what is written when the process is ended.
        code: the exit code.
    """

    def __init__(self, message: str, code: Exit) -> None:
        self._message = message
        self._code = code
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def begin(self, is_busy: Callable[[], bool]) -> None:
        """Begin to watch, after a stop was requested.

        Args:
            is_busy: returns whether tasks run, which end the process when they end.
        """
        threading.Thread(target=self._watch, args=(is_busy,), name="leave-when-stuck", daemon=True).start()

    def _watch(self, is_busy: Callable[[], bool]) -> None:
        until = SYSTEM.monotonic() + _STUCK_AFTER
        while not self._ended.wait(_WATCH_INTERVAL):
            if is_busy():
                until = SYSTEM.monotonic() + _STUCK_AFTER
            elif SYSTEM.monotonic() > until:
                _write_last_message(self._message)
                os._exit(self._code)


def _write_last_message(message: str) -> None:
    """Write past all buffers and show the terminal's cursor again, because nothing else runs after this."""
    show_cursor = "\x1b[?25h" if sys.stdout.isatty() else ""
    os.write(2, f"{show_cursor}\n{message}\n".encode())
