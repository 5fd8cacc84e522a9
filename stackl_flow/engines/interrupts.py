"""Ctrl-C in the main thread: the flow that runs there is suspended at its next step."""

from __future__ import annotations

import signal

# Those of ``signal`` convert to enums, which takes ten times as long.
from _signal import getsignal  # type: ignore[import-not-found]
from _signal import signal as set_handler
from types import FrameType
from typing import Any, Final, Self

from stackl_flow.engines.executors.calls import is_main_thread
from stackl_flow.engines.loop import Loop

_SIGINT: Final = int(signal.SIGINT)


class InterruptHandler:
    """Passes SIGINT to a loop while the ``with`` block runs in the main thread.

    A handler that the program installed itself is left alone.

    Args:
        loop: the loop.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._previous: Any = None

    def __enter__(self) -> Self:
        if is_main_thread():
            current = getsignal(_SIGINT)
            nested = isinstance(getattr(current, "__self__", None), InterruptHandler)
            if nested or current is signal.default_int_handler:
                set_handler(_SIGINT, self.handle)
                self._previous = current
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous is not None and is_main_thread():
            set_handler(_SIGINT, self._previous)
            self._previous = None

    def handle(self, _signum: int, _frame: FrameType | None) -> None:
        """Suspend the flow; see ``Loop.interrupt``."""
        self._loop.interrupt()
