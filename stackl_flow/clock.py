"""The injected clock: everything that depends on time takes a `Clock`, so that tests can step it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """The time source that engines, boards, conductors and stores take as ``clock=``."""

    def now(self) -> float:
        """Return the wall-clock time, in seconds since 1970 UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds from an arbitrary start that never go backwards, for measuring durations."""
        ...

    def sleep(self, seconds: float) -> None:
        """Block the calling thread for that many seconds."""
        ...


class SystemClock:
    """The clock of this machine."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)


SYSTEM: Clock = SystemClock()
"""The default clock."""
