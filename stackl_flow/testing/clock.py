"""A clock for tests, which moves only when it is stepped."""

from __future__ import annotations


class SteppedClock:
    """A clock that moves only when a test steps it; times are in seconds since 1970, UTC."""

    def __init__(self, start: float = 1_000_000_000.0) -> None:
        self._now = start

    def now(self) -> float:
        """Return the time."""
        return self._now

    def monotonic(self) -> float:
        """Return the same time: this clock never goes back."""
        return self._now

    def sleep(self, seconds: float) -> None:
        """Step the clock instead of sleeping."""
        self.step(seconds)

    def step(self, seconds: float) -> None:
        """Move the clock forward."""
        self._now += seconds
