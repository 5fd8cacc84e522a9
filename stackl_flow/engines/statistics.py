"""Numbers about a run."""

from __future__ import annotations

import time
from typing import Any

from stackl_flow.engines.shell import Shell


class Watch:
    """Measures how long the engine is in each of its states, and counts the atoms.

    Args:
        statistics: where the numbers go.
        gather: whether they are wanted.
    """

    def __init__(self, statistics: dict[str, Any], gather: bool) -> None:
        self._gather = gather
        self._statistics = statistics
        self._seconds = dict.fromkeys(("scheduling", "waiting", "analyzing"), 0.0)
        self._state = ""
        self._since = 0.0
        statistics.clear()
        if gather:
            statistics["seconds_per_state"] = self._seconds

    def enter(self, state: str) -> str:
        """Note that the engine comes to a state, which is returned."""
        if self._gather:
            now = time.monotonic()
            if self._state:
                self._seconds[self._state] += now - self._since
            self._state, self._since = state.lower(), now
        return state

    def leave(self) -> None:
        """Note that the engine left its last state."""
        if self._gather and self._state:
            self._seconds[self._state] += time.monotonic() - self._since

    def count(self, shell: Shell) -> None:
        """Note how many atoms are where."""
        if self._gather:
            self._statistics["completed"] = shell.completed
            self._statistics["discarded_failures"] = shell.discarded
            self._statistics["incomplete"] = shell.core.running
            self._statistics["awaiting"] = shell.core.awaiting
