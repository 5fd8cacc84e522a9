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

from stackl_flow.cli.errors import Exit

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
    count = 0

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal count
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


def _write_last_message(message: str) -> None:
    """Write past all buffers and show the terminal's cursor again, because nothing else runs after this."""
    show_cursor = "\x1b[?25h" if sys.stdout.isatty() else ""
    os.write(2, f"{show_cursor}\n{message}\n".encode())
