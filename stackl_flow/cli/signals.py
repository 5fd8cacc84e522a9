"""Ctrl-C suspends a flow; a second one ends the process as it stands, which a stored flow survives."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from stackl_flow.cli.errors import Exit

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible(suspend: Callable[[], None], tell: Callable[[str], None], last: str) -> Iterator[None]:
    """Watch for Ctrl-C (SIGINT) and SIGTERM while a flow runs.

    Args:
        suspend: asks the engine to stop after the atoms at work.
        tell: shows a message.
        last: what to say when a second signal ends the process.

    Yields:
        Nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread hears signals; elsewhere whoever started us stops us in another way.
        yield
        return
    heard = 0

    def hear(_number: int, _frame: FrameType | None) -> None:
        nonlocal heard
        heard += 1
        if heard > 1:
            _farewell(last)
            # No clean-up: a task that hangs would hold it up. To a stored flow this is just a crash.
            os._exit(Exit.ABORTED)
        suspend()
        # Nobody may read it any more, or the signal came in the middle of a line that is being written:
        # neither is a reason to go on working.
        with contextlib.suppress(OSError, RuntimeError):
            tell("suspending after the atoms at work; Ctrl-C once more aborts at once")

    before = {number: signal.signal(number, hear) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _farewell(words: str) -> None:
    """Speak past every buffer and give a terminal its cursor back: nothing else runs after this."""
    show_cursor = "\x1b[?25h" if sys.stdout.isatty() else ""
    os.write(2, f"{show_cursor}\n{words}\n".encode())
