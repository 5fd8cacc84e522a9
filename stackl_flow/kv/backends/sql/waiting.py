"""Waiting for changes of the tables, by few queries.

A watch is what one thread waits at: for changes of keys with a prefix, since a mark. It queries the database
when it was woken, when a lease expires, and now and then because some commits wake no one. It outlives a call
of ``wait``, so that the next call from the same mark, as a loop with a time-out makes it, queries nothing.

Where commits of other processes wake no one (MariaDB), a watch polls ten times a second after a change, and
gradually less often, down to once a second, while there is none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from stackl_flow.clock import SYSTEM
from stackl_flow.kv.backends.sql.commit_order import Observation, SerializedCommits
from stackl_flow.kv.backends.sql.wakeups import Waiter

#: How the time between two queries grows while there is no change.
_GROWTH: Final = 1.25

Observe = Callable[[str, Any], Observation]


class Watch:
    """A wait for changes of keys with a prefix.

    Args:
        prefix: the prefix.
        mark: the mark since which it waits.
        waiter: wakes it.
        commits: what marks mean.
    """

    def __init__(self, prefix: str, mark: int, waiter: Waiter, commits: SerializedCommits) -> None:
        self.prefix = prefix
        self.mark = mark
        self._waiter = waiter
        self._commits = commits
        self._position = commits.position_of(mark)
        self._observed_at = -math.inf
        self._next_expiry: float | None = None
        self._interval = waiter.first_poll_interval

    def wait(
        self, timeout: float | None, observe: Observe, now: Callable[[], float], expire: Callable[[], None]
    ) -> int:
        """Wait for a change; return a new mark, or the same after the time-out.

        Args:
            timeout: in seconds; None for no limit.
            observe: queries the database.
            now: the time by which leases expire.
            expire: deletes the expired leases.
        """
        # Threads wait in real time, whatever clock leases expire by.
        deadline = math.inf if timeout is None else SYSTEM.monotonic() + timeout
        is_woken = self._waiter.wait(0)
        while True:
            if (is_woken or self._delay(now) <= 0) and self._has_changed(observe, now, expire):
                self.mark = self._commits.mark_of(self._position)
                self._interval = self._waiter.first_poll_interval
                return self.mark
            remaining = deadline - SYSTEM.monotonic()
            if remaining <= 0:
                return self.mark
            is_woken = self._waiter.wait(max(min(remaining, self._delay(now)), 0.001))

    def close(self) -> None:
        """Release what it waits at."""
        self._waiter.close()

    def _delay(self, now: Callable[[], float]) -> float:
        """Return the seconds until the next query."""
        poll = self._observed_at + min(self._interval, self._waiter.poll_interval) - SYSTEM.monotonic()
        return poll if self._next_expiry is None else min(poll, self._next_expiry - now())

    def _look(self, observe: Observe) -> bool:
        observed = observe(self.prefix, self._position)
        self._position, self._next_expiry = observed.position, observed.next_expiry
        self._observed_at = SYSTEM.monotonic()
        self._interval *= _GROWTH
        return observed.changed

    def _has_changed(self, observe: Observe, now: Callable[[], float], expire: Callable[[], None]) -> bool:
        if self._look(observe):
            return True
        if self._next_expiry is None or self._next_expiry > now():
            return False
        expire()
        return self._look(observe)
