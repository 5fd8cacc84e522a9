"""Numbers about a run."""

from __future__ import annotations

import time
from typing import Any, Final

from stackl_flow import states as st
from stackl_flow.engines.shell import Shell

_NAMES: Final = {st.SCHEDULING: "scheduling", st.WAITING: "waiting", st.ANALYZING: "analyzing"}


class Watch:
    """Measures how long the engine is in each of its states; atoms are counted when somebody asks.

    Args:
        gather: whether such numbers are wanted; how long a run took is kept in any case.
    """

    def __init__(self, gather: bool) -> None:
        self._gather = gather
        self._shell: Shell | None = None
        self._numbers: dict[str, Any] = {}
        self._began = 0.0
        self._forget()

    def _forget(self) -> None:
        self._seconds = dict.fromkeys(_NAMES, 0.0)
        self._state: str | None = None
        self._since = 0.0

    def begin(self, shell: Shell) -> None:
        """Begin anew with a run.

        Args:
            shell: carries the run out, and knows how many atoms are where.
        """
        self._shell = shell
        self._numbers = {}
        self._forget()
        self._began = time.monotonic()

    def enter(self, state: str) -> str:
        """Note that the engine comes to a state, which is returned."""
        if self._gather:
            now = time.monotonic()
            if self._state is not None:
                self._seconds[self._state] += now - self._since
            self._state, self._since = state, now
        return state

    def end(self) -> None:
        """Note that the run is over, and let go of it."""
        now = time.monotonic()
        if self._state is not None:
            self._seconds[self._state] += now - self._since
        self._count()
        self._shell = None
        self._numbers["active_for"] = now - self._began

    def numbers(self) -> dict[str, Any]:
        """Return the numbers about the present or last run, as they are now."""
        self._count()
        return self._numbers

    def _count(self) -> None:
        shell = self._shell
        if self._gather and shell is not None:
            self._numbers.update(
                seconds_per_state={name: self._seconds[state] for state, name in _NAMES.items()},
                completed=shell.completed,
                discarded_failures=shell.discarded,
                incomplete=shell.core.running,
                awaiting=shell.core.awaiting,
            )
