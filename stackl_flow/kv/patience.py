"""How long a server is asked again, by whatever place stands on one."""

from __future__ import annotations

from typing import Final

from stackl_flow.clock import SYSTEM

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 0.5


class Patience:
    """How long something is tried again, with longer and longer pauses.

    Args:
        seconds: how long.
    """

    def __init__(self, seconds: float) -> None:
        self._until = SYSTEM.monotonic() + seconds
        self._pause = _FIRST_PAUSE

    def pause(self) -> bool:
        """Wait a little.

        Returns:
            Whether there is time for another try.
        """
        if SYSTEM.monotonic() + self._pause > self._until:
            return False
        SYSTEM.sleep(self._pause)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        return True
