"""What a board does by itself: free lost claims, bring jobs whose time has come, give up what nobody wants.

There is no server process behind a board. Whoever looks for work sweeps first; two who sweep at once do no
harm, because each commit checks what it was decided on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from stackl_flow import exceptions as exc
from stackl_flow.clock import Clock
from stackl_flow.coordination.change_feed import Event
from stackl_flow.jobboards import transactions as m
from stackl_flow.jobboards.job import (
    CLAIMED,
    COUNTED,
    DEFERRED,
    DONE,
    LATER,
    LOST,
    OVERDUE,
    OWNER,
    WAITING,
    Posting,
)
from stackl_flow.jobboards.keys import Places
from stackl_flow.jobboards.transactions import Held, Writes
from stackl_flow.kv.items import Item
from stackl_flow.kv.store import KV

#: At most so many of one kind in one sweep: the next one goes on.
_BATCH: Final = 100

#: Seconds that a deferred job waits: at first, and at most.
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 60.0


class Rules(NamedTuple):
    """How a board treats its jobs.

    ``max_claims``: a job is trashed when so many claims of it ended without its end; None for never.
    ``keep_outcomes``: for how many seconds the outcome of an ended job can be asked for.
    """

    max_claims: int | None = 10
    keep_outcomes: float = 86_400.0

    def is_poison(self, posting: Posting) -> bool:
        """Say whether a job is not to be handed out again.

        Args:
            posting: the job, with its last claim ended.
        """
        return self.max_claims is not None and posting.failed_claims >= self.max_claims

    def reason(self, posting: Posting) -> str:
        """Say why a job is not handed out again.

        Args:
            posting: the job.
        """
        ends = ", ".join(f"{claim.who} ({claim.ended})" for claim in posting.claims if claim.ended)
        return f"claimed {posting.failed_claims} times without an end: {ends}"

    def in_vain(self, places: Places, held: Held, how: str, now: float) -> tuple[str, Writes]:
        """Say what becomes of a job whose claim ended without its end.

        Args:
            places: makes keys.
            held: the job as it was read.
            how: LOST, ABANDONED, DEFERRED, RELEASED or UNBEGUN.
            now: seconds since 1970 UTC.

        Returns:
            What is told of it, and the commit: it is free again, or trashed if that happened too often.
        """
        ended = held.posting.let_go(how, now)
        if how in COUNTED and self.is_poison(ended):
            return "REMOVAL", m.trash(places, held._replace(posting=ended), self.reason(ended), now)
        pause = self.pause(ended) if how == DEFERRED else 0.0
        return "ABANDONED", m.give_back(places, held, how, now, pause)

    @staticmethod
    def pause(posting: Posting) -> float:
        """Say for how many seconds a job waits that was deferred: twice as long each time.

        Args:
            posting: the job, with its last claim ended.
        """
        return float(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (posting.failed_claims - 1)))


#: Makes a commit; says False when it came too late.
Commit = Callable[[Sequence[Event], Writes], bool]


class Sweeper:
    """Keeps one board in order.

    Args:
        kv: where its items are.
        places: makes their keys.
        rules: how it treats its jobs.
        clock: tells the time.
        commit: writes, and tells those who watch.
    """

    def __init__(self, kv: KV, places: Places, rules: Rules, clock: Clock, commit: Commit) -> None:
        self._kv = kv
        self._places = places
        self._rules = rules
        self._clock = clock
        self._commit = commit
        self._swept = -math.inf
        self._soonest: float | None = None

    @property
    def age(self) -> float:
        """How many seconds ago this object swept; endless if never, or if something has fallen due since."""
        if self._soonest is not None and self._soonest <= self._clock.now():
            return math.inf
        return self._clock.monotonic() - self._swept

    def next_due(self) -> float | None:
        """Say in how many seconds there is something to be done again.

        Returns:
            Seconds, as far as the last sweep saw; None if nothing is known to come.
        """
        return None if self._soonest is None else max(0.0, self._soonest - self._clock.now())

    def sweep(self) -> None:
        """Do what is to be done now."""
        now, begun = self._clock.now(), self._clock.monotonic()
        self._free_lost(now)
        self._bring_due(now)
        self._give_up_overdue(now)
        self._forget_old(now)
        self._soonest = self._next()
        self._swept = begun

    def _free_lost(self, now: float) -> None:
        claimed = self._list(CLAIMED, None)
        if not claimed:
            return
        owners = {item.key for item in self._kv.list(self._places.head(OWNER))}
        for item in claimed:
            posting = Posting.from_text(item.value)
            if self._places.owner(posting.lease) in owners:
                continue
            held = Held(posting, item.version, posting.lease, lost=True)
            told, writes = self._rules.in_vain(self._places, held, LOST, now)
            self._commit([(told, posting)], writes)

    def _bring_due(self, now: float) -> None:
        for item in self._until(LATER, now):
            posting = Posting.from_text(item.value)
            writes = m.fall_due(self._places, posting, item.version, now)
            self._commit([("POSTED", posting)], writes)

    def _give_up_overdue(self, now: float) -> None:
        for item in self._until(OVERDUE, now):
            spot = item.key.removeprefix(self._places.head(OVERDUE)).partition("/")[2]
            waiting = self._kv.get(self._places.at(WAITING, spot))
            if waiting is None:
                continue  # claimed at this moment, by a commit that removes this item, too
            posting = Posting.from_text(waiting.value)
            writes = m.give_up(self._places, posting, waiting.version, "nobody claimed it in time", now)
            self._commit([("REMOVAL", posting)], writes)

    def _forget_old(self, now: float) -> None:
        for item in self._until(DONE, now - self._rules.keep_outcomes, mark="-"):
            writes = m.forget(self._places, item.key, json.loads(item.value))
            try:
                self._kv.commit(*writes)
            except exc.Conflict:
                continue  # somebody else forgot it

    def _until(self, head: str, until: float, mark: str = "/") -> Iterator[Item]:
        """Go over items whose key begins with a time that has come."""
        first = self._list(head, 1)
        if not first or self._time_of(first[0], head, mark) > until:
            return
        for item in self._list(head, _BATCH):
            if self._time_of(item, head, mark) > until:
                return
            yield item

    def _next(self) -> float | None:
        times: Iterable[float] = (
            self._time_of(item, head, "/") for head in (LATER, OVERDUE) for item in self._list(head, 1)
        )
        return min(times, default=None)

    def _time_of(self, item: Item, head: str, mark: str) -> float:
        return int(item.key.removeprefix(self._places.head(head)).partition(mark)[0]) / 1_000_000

    def _list(self, head: str, limit: int | None) -> list[Item]:
        return self._kv.list(self._places.head(head), limit=limit)
