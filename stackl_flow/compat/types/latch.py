"""TaskFlow's `taskflow.types.latch`: a countdown latch."""

from __future__ import annotations

import threading


class Latch:
    """Blocks waiting threads until it has been counted down to zero.

    Args:
        count: the initial count.

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
        """The remaining count."""
        return max(0, self._left)

    def countdown(self) -> None:
        """Decrease the count by one."""
        with self._changed:
            self._left -= 1
            if self._left <= 0:
                self._changed.notify_all()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the count is zero.

        Args:
            timeout: seconds; None waits without limit.

        Returns:
            False if the timeout expired.
        """
        with self._changed:
            return self._changed.wait_for(lambda: self._left <= 0, timeout)
