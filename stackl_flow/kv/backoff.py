"""How long something is tried again: a server that does not answer, a lock that others hold."""

from __future__ import annotations

from typing import Final

from stackl_flow.clock import SYSTEM

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 0.5


class Patience:
    """How long something is tried again, with longer and longer pauses.

    Args:
        seconds: how long.
        first: how many seconds the first pause takes; each one takes twice as long as the one before.
        longest: how many seconds a pause takes at most.
    """

    def __init__(self, seconds: float, first: float = _FIRST_PAUSE, longest: float = _LONGEST_PAUSE) -> None:
        self._until = SYSTEM.monotonic() + seconds
        self._pause = first
        self._longest = longest

    def pause(self) -> bool:
        """Wait a little.

        Returns:
            Whether there is time for another try.
        """
        if SYSTEM.monotonic() + self._pause > self._until:
            return False
        SYSTEM.sleep(self._pause)
        self._pause = min(self._pause * 2, self._longest)
        return True
