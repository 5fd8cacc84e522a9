"""Retry delays with exponential backoff and a deadline: for a server that does not answer, or a file lock."""

from __future__ import annotations

from typing import Final

from stackl_flow.clock import SYSTEM

_INITIAL_DELAY: Final = 0.05
_MAX_DELAY: Final = 0.5


class Backoff:
    """The delays between the attempts of one operation; the deadline starts when the object is created.

    Args:
        timeout: seconds until the deadline.
        initial_delay: seconds before the second attempt; each further delay is twice as long.
        max_delay: upper bound of a delay, in seconds.
    """

    def __init__(
        self, timeout: float, initial_delay: float = _INITIAL_DELAY, max_delay: float = _MAX_DELAY
    ) -> None:
        self._deadline = SYSTEM.monotonic() + timeout
        self._delay = initial_delay
        self._max_delay = max_delay

    def sleep(self) -> bool:
        """Sleep until the next attempt; return False at once if that would be after the deadline."""
        if SYSTEM.monotonic() + self._delay > self._deadline:
            return False
        SYSTEM.sleep(self._delay)
        self._delay = min(self._delay * 2, self._max_delay)
        return True
