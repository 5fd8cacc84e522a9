"""What is on a board: questions, answered from its items.

Waiting at a board: for work to be had, and for the end of a job.

Who always finds work pays for little more than the first page of it: the board is swept beside that only now
and then. Who finds none sweeps before he sleeps, and again when something has happened since.
"""

from __future__ import annotations

import heapq
import itertools
import json
from collections.abc import Callable, Collection, Container, Iterator
from typing import Any, Final, NamedTuple

from stackl_flow import codec
from stackl_flow import exceptions as exc
from stackl_flow.clock import SYSTEM
from stackl_flow.jobboards.job import CLAIMED, GROUP, JOB, LATER, TRASH, WAITING, Posting
from stackl_flow.jobboards.keys import ANY, Places, stamp
from stackl_flow.jobboards.maintenance import Sweeper
from stackl_flow.kv.items import Item
from stackl_flow.kv.store import KV

#: How many items are read at first, by one who may want but one, and how many at most.
_FIRST_PAGE: Final = 8
_PAGE: Final = 128
#: How many are read at once to be counted.
_COUNTED: Final = 1024
#: A job may move each time it is looked for; more often than this it does not, while one reads three items.
_LOOKS: Final = 20


class Found(NamedTuple):
    """A job as it was found: under which head, and what is kept there.

    ``outcome`` is there instead of a posting when it has ended.
    """

    head: str
    posting: Posting | None = None
    version: int = 0
    outcome: dict[str, Any] | None = None

    def ended(self, uuid: str) -> Posting:
        """Make a posting of what is still known of a job that has ended: no details.

        Args:
            uuid: the job.
        """
        told = self.outcome or {}
        return Posting(uuid, told["name"], told["at"], told["at"], key=told["key"])


class Reading:
    """Answers questions about one board.

    Args:
        kv: where the items are.
        places: makes their keys.
    """

    def __init__(self, kv: KV, places: Places) -> None:
        self._kv = kv
        self._places = places
        self._known: list[Item] = []

    def free(
        self, can: Container[str] | None = None, want: int = 1, *, fresh: bool = True
    ) -> Iterator[Found]:
        """Go over the jobs that are to be claimed: higher priority first, oldest first within one.

        Args:
            can: only jobs that need no more than this; None for all.
            want: how many will do; no more than these are asked for, if one goes over no more.
            fresh: look for jobs that need what none did before; otherwise those known last time will do.

        Yields:
            The jobs; read page by page, so that the first costs the same on a board of any size.
        """
        if fresh:
            self._known = self._kv.list(self._places.head(GROUP))
        heads = [self._places.head(WAITING, group) for group in self._groups(can)]
        ways = [self._ordered(self._pages(head, max(want, _FIRST_PAGE)), head) for head in heads]
        for _, item in heapq.merge(*ways):
            yield Found(WAITING, Posting.from_text(item.value), item.version)

    def all(self) -> Iterator[Found]:
        """Go over all jobs on the board, in the order of ``free``; those that wait for a time come last.

        Yields:
            The jobs.
        """
        ways = []
        for word in (WAITING, CLAIMED):
            self._known = self._kv.list(self._places.head(GROUP))
            for group in self._groups(None):
                head = self._places.head(word, group)
                ways.append(self._ordered(self._pages(head), head, word))
        for (_, word), item in heapq.merge(*ways):
            yield Found(word, Posting.from_text(item.value), item.version)
        for item in self._pages(self._places.head(LATER)):
            yield Found(LATER, Posting.from_text(item.value), item.version)

    def find(self, uuid: str) -> Found:
        """Look for one job.

        Args:
            uuid: which.

        Returns:
            Where it stands.

        Raises:
            NotFound: it was never here, or it ended and has been forgotten.
        """
        for _ in range(_LOOKS):
            item = self._kv.get(self._places.at(JOB, uuid))
            if item is None:
                raise exc.NotFound(
                    f"no job '{uuid}' on board '{self._places.root[:-1]}': it was never posted here, "
                    "or it ended and its outcome has been forgotten since"
                )
            told = codec.decode(item.value)
            if "ended" in told:
                return Found(str(told["ended"]), outcome=told)
            for head, key in self._where(told):
                found = self._kv.get(key)
                if found is not None:
                    return Found(head, Posting.from_text(found.value), found.version)
        raise exc.JobFailure(f"job '{uuid}' moves faster than it can be found: try again")

    def _where(self, told: dict[str, Any]) -> Iterator[tuple[str, str]]:
        for head in (WAITING, CLAIMED):
            yield head, self._places.at(head, told["spot"])
        if told["not_before"] is not None:
            yield LATER, self._places.at(LATER, stamp(told["not_before"]), told["spot"])

    def owner(self, lease: str) -> str | None:
        """Say who claims on a lease.

        Args:
            lease: the lease; "" for none.

        Returns:
            His name; None if there is no such lease any more.
        """
        item = self._kv.get(self._places.owner(lease)) if lease else None
        return None if item is None else json.loads(item.value)

    def trashed(self) -> Iterator[tuple[Item, Posting]]:
        """Go over the trash, oldest first.

        Yields:
            The items, with the jobs in them.
        """
        for item in self._pages(self._places.head(TRASH)):
            yield item, Posting.from_text(item.value)

    def count(self) -> int:
        """Count the jobs on the board."""
        heads = (WAITING, CLAIMED, LATER)
        return sum(1 for head in heads for _ in self._pages(self._places.head(head), _COUNTED, _COUNTED))

    def has_group(self, group: str) -> bool:
        """Say whether a group of needs is known.

        Args:
            group: its name.
        """
        return group == ANY or self._kv.get(self._places.at(GROUP, group)) is not None

    def _groups(self, can: Container[str] | None) -> list[str]:
        fitting = [
            item.key.rpartition("/")[2]
            for item in self._known
            if can is None or all(need in can for need in json.loads(item.value))
        ]
        return [ANY, *fitting]

    def _pages(self, prefix: str, size: int = _FIRST_PAGE, most: int = _PAGE) -> Iterator[Item]:
        after = ""
        while True:
            page = self._kv.list(prefix, after=after, limit=size)
            yield from page
            if len(page) < size:
                return
            after = page[-1].key
            size = min(4 * size, most)

    @staticmethod
    def _ordered(items: Iterator[Item], head: str, word: str = "") -> Iterator[tuple[tuple[str, str], Item]]:
        """Go with each item's place in the order of all groups."""
        for item in items:
            yield (item.key.removeprefix(head), word), item


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
        key = self._places.at(JOB, uuid)
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
