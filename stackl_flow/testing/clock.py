"""A clock that stands still until it is stepped."""

from __future__ import annotations


class SteppedClock:
    """Stands still until a test steps it.

    Args:
        start: the time of day it shows at first, in seconds since 1970, UTC.
    """

    def __init__(self, start: float = 1_000_000_000.0) -> None:
        self._now = start

    def now(self) -> float:
        """Return the time of day, in seconds since 1970, UTC."""
        return self._now

    def monotonic(self) -> float:
        """Return the same: this clock never goes back."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Let time pass, at once.

        Args:
            seconds: how much.
        """
        self.step(seconds)

    def step(self, seconds: float) -> None:
        """Let time pass.

        Args:
            seconds: how much.
        """
        self._now += seconds
