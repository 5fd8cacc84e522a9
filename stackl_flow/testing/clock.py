"""A clock that stands still until it is told to go on, for whatever is handed a clock."""

from __future__ import annotations


class SteppedClock:
    """Goes on only when it is stepped.

    Args:
        start: the time of day at the beginning, in seconds since 1970 UTC.
    """

    def __init__(self, start: float = 0.0) -> None:
        self._start = start
        self._passed = 0.0

    def now(self) -> float:
        """Return the time of day, in seconds since 1970 UTC."""
        return self._start + self._passed

    def monotonic(self) -> float:
        """Return how many seconds it has gone on."""
        return self._passed

    def step(self, seconds: float) -> None:
        """Go on.

        Args:
            seconds: by how much.

        Raises:
            ValueError: it would go back.
        """
        if seconds < 0:
            raise ValueError(f"a clock does not go back: {seconds}")
        self._passed += seconds
