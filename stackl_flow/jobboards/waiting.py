"""Waiting at a board: for work to be had, and for the end of a job.

Who always finds work pays for little more than the first page of it: the board is swept beside that only now
and then. Who finds none sweeps before he sleeps, and again when something has happened since.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator
from typing import Final

from stackl_flow.clock import SYSTEM
from stackl_flow.jobboards import moves as m
from stackl_flow.jobboards.places import Places
from stackl_flow.jobboards.reading import Found, Reading
from stackl_flow.jobboards.sweep import Sweeper
from stackl_flow.kv.base import KV

#: Seconds between two sweeps of one board by one object: what a lost claim may be found late by.
PERIOD: Final = 0.25


class Waiting:
    """Waits at one board, in real time by whatever clock the board goes.

    Args:
        kv: where its items are.
        places: makes their keys.
        reading: answers questions about the board.
        sweeper: keeps it in order.
    """

    def __init__(self, kv: KV, places: Places, reading: Reading, sweeper: Sweeper) -> None:
        self._kv = kv
        self._places = places
        self._reading = reading
        self._sweeper = sweeper

    def at_once(self, can: Collection[str] | None, want: int = 1) -> Iterator[Found]:
        """Look for jobs to be claimed, without waiting.

        Args:
            can: only jobs that need no other abilities than these.
            want: how many of them will do.

        Returns:
            The jobs.
        """
        due = self._sweeper.age >= PERIOD
        if due:
            self._sweeper.sweep()
        return self._some(can, want, fresh=due) or iter(())

    def for_work(self, timeout: float | None, can: Collection[str] | None, want: int = 1) -> Iterator[Found]:
        """Wait until there are jobs to be claimed.

        Args:
            timeout: how many seconds to wait at most; None for ever.
            can: only jobs that need no other abilities than these.
            want: how many of them will do.

        Returns:
            The jobs; none if the time is over.
        """
        left = _countdown(timeout)
        if self._sweeper.age >= PERIOD:
            self._sweeper.sweep()
        elif (found := self._some(can, want, fresh=False)) is not None:
            return found
        swept, mark = 0, self._kv.wait(self._places.root)
        while True:
            # What woke us is most likely a job like those before it.
            for fresh in (False, True):
                if (found := self._some(can, want, fresh=fresh)) is not None:
                    return found
            if mark != swept and self._sweeper.age >= PERIOD:
                self._sweeper.sweep()
                swept = mark
                if (found := self._some(can, want, fresh=True)) is not None:
                    return found
            rest = left()
            if rest is not None and rest <= 0:
                return iter(())
            again = None if mark == swept else max(0.0, PERIOD - self._sweeper.age)
            pauses = (rest, self._sweeper.next_due(), again)
            mark = self._kv.wait(
                self._places.root, mark, min((pause for pause in pauses if pause is not None), default=None)
            )

    def for_end(self, uuid: str, look: Callable[[str], Found], timeout: float | None) -> Found | None:
        """Wait until a job has ended.

        Args:
            uuid: which.
            look: says where it stands.
            timeout: how many seconds to wait at most; None for ever.

        Returns:
            How it ended; None if the time is over.

        Raises:
            NotFound: it ended so long ago that this has been forgotten.
        """
        left = _countdown(timeout)
        key = self._places.at(m.JOB, uuid)
        mark = self._kv.wait(key)
        while True:
            found = look(uuid)
            if found.outcome is not None:
                return found
            rest = left()
            if rest is not None and rest <= 0:
                return None
            mark = self._kv.wait(key, mark, rest)

    def _some(self, can: Collection[str] | None, want: int, *, fresh: bool) -> Iterator[Found] | None:
        jobs = self._reading.free(can, want, fresh=fresh)
        first = next(jobs, None)
        return None if first is None else itertools.chain((first,), jobs)


def _countdown(timeout: float | None) -> Callable[[], float | None]:
    """Make a function that says how many seconds are left."""
    if timeout is None:
        return lambda: None
    deadline = SYSTEM.monotonic() + timeout
    return lambda: deadline - SYSTEM.monotonic()
