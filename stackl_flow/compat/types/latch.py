"""TaskFlow's `taskflow.types.latch`: a door that opens after a number of arrivals."""

from __future__ import annotations

import threading


class Latch:
    """Lets those who wait go on once enough others have arrived.

    Args:
        count: how many arrivals open it.

    Raises:
        ValueError: the count is not positive.
    """

    def __init__(self, count: int) -> None:
        self._left = int(count)
        if self._left <= 0:
            raise ValueError(f"Count must be greater than zero, not {count}")
        self._changed = threading.Condition()

    @property
    def needed(self) -> int:
        """How many arrivals are still to come."""
        return max(0, self._left)

    def countdown(self) -> None:
        """Arrive."""
        with self._changed:
            self._left -= 1
            if self._left <= 0:
                self._changed.notify_all()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until enough have arrived.

        Args:
            timeout: for how many seconds at most; None for as long as it takes.

        Returns:
            False when the time is up.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self._left <= 0, timeout)
