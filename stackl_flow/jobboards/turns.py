"""Turns: the claims that were finished are ended, and the next jobs claimed, in one commit.

A worker whose jobs are short spends most of its time on trips to the board. In a turn it hands over all that
it has finished and gets all that it will do next: one listing and one commit, however many jobs they are
about. Where that conflicts (a claim was lost, another worker was quicker) the ends are made one by one, and
fewer jobs are claimed at once, so that nothing is lost or done twice.

A commit is bounded by what the place takes. A job whose last claim was lost is claimed by itself: should it
be the one that kills its workers, it is not to take its neighbours along.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from stackl_flow import exceptions as exc
from stackl_flow.clock import SYSTEM
from stackl_flow.jobboards import refusals
from stackl_flow.jobboards.claims import Claims
from stackl_flow.jobboards.endings import Ending, Late, Turn
from stackl_flow.jobboards.job import Job
from stackl_flow.jobboards.moves import Writes
from stackl_flow.jobboards.news import Event, Writer
from stackl_flow.jobboards.posting import LOST, Posting
from stackl_flow.jobboards.reading import Found
from stackl_flow.jobboards.waiting import Waiting
from stackl_flow.kv.base import KV
from stackl_flow.kv.items import ABSENT, Limits

#: Characters of values in one commit: well below the 1 MB that ZooKeeper takes, with keys, quotes and UTF-8.
_MOST_TEXT: Final = 250_000
#: Puts and deletes of a line of news.
_NEWS: Final = 2
#: So often jobs are looked for again, always fewer of them, when others are quicker.
_TRIES: Final = 6

Jobs = Iterator[Found]
Plan = Callable[[Sequence[Found]], Writes | None]


class Taking:
    """Reads which jobs are free and claims the first of them.

    This is the part of a turn that a place may do better than by a listing and a commit that checks it: one
    that can lock what it reads does both in one transaction, and passes over what others have locked.

    Args:
        kv: the place.
    """

    def __init__(self, kv: KV) -> None:
        self._kv = kv

    def take(self, free: Jobs, want: int, can: Collection[str] | None, plan: Plan) -> int:
        """Claim the first of the jobs that are free, with whatever else is to be written.

        Args:
            free: the jobs that were seen waiting a moment ago, in their order; read as one goes.
            want: how many at most.
            can: only jobs that need no other abilities than these; ``free`` has no others.
            plan: says for the jobs that are to be claimed what is to be committed, checks included; None for
                nothing.

        Returns:
            The version of the commit.

        Raises:
            Conflict: somebody was quicker; nothing was written.
            LeaseLost: the claimer's lease ran out; nothing was written.
        """
        del can
        writes = plan(list(itertools.islice(free, want)))
        return ABSENT if writes is None else self._kv.commit(*writes)


class Move(NamedTuple):
    """An ending, with what it tells and writes."""

    ending: Ending
    event: Event
    writes: Writes


class Batch:
    """Writes that land together.

    Args:
        limits: what the place takes.
    """

    def __init__(self, limits: Limits) -> None:
        self.events: list[Event] = []
        self._operations = (limits.operations or 10_000) - _NEWS
        self._text = _MOST_TEXT
        self._writes: list[Writes] = []

    def add(self, event: Event, writes: Writes) -> bool:
        """Add to it.

        Args:
            event: what happens.
            writes: what is written for it.

        Returns:
            False if there is no room; the first always has.
        """
        operations = self._operations - max(len(writes.checks), len(writes.puts) + len(writes.deletes))
        told = len(event[1].to_text())
        text = self._text - told - sum(len(put.value) for put in writes.puts)
        if self._writes and (operations < 0 or text < 0):
            return False
        self._operations, self._text = operations, text
        self._writes.append(writes)
        self.events.append(event)
        return True

    def together(self) -> Writes:
        """Make one commit of it."""
        parts = zip(*self._writes, strict=True)
        return Writes(*(tuple(itertools.chain.from_iterable(part)) for part in parts))


class Turns:
    """Makes turns at one board.

    Args:
        claims: who holds what.
        writer: writes, and tells those who watch.
        waiting: waits for work.
        limits: what the place takes in one commit.
        taking: claims jobs.
        make_job: makes a job of a posting and a version.
    """

    def __init__(
        self,
        claims: Claims,
        writer: Writer,
        waiting: Waiting,
        limits: Limits,
        taking: Taking,
        make_job: Callable[[Posting, int], Job],
    ) -> None:
        self._claims = claims
        self._writer = writer
        self._waiting = waiting
        self._limits = limits
        self._taking = taking
        self._make_job = make_job

    def turn(
        self,
        who: str,
        ends: Iterable[Ending],
        want: int,
        can: Collection[str] | None,
        timeout: float | None,
    ) -> Turn:
        """End claims and make new ones; see the board's verb.

        Args:
            who: the claimer.
            ends: how claims of his end.
            want: how many jobs he wants at most.
            can: only jobs that need no other abilities than these.
            timeout: how many seconds to wait for work, if nothing ends; None for ever.

        Returns:
            What came of it.
        """
        refusals.check_who(who)
        if want > 0:
            self._claims.settle()
        late: list[Late] = []
        moves = list(self._moves(ends, who, late))
        while len(fit := self._fitting(moves)) < len(moves):
            late += self._end(fit, who)
            moves = moves[len(fit) :]
        if want <= 0:
            return Turn((), (*late, *self._end(moves, who)))
        for _ in range(_TRIES):
            free = self._waiting.at_once(can, want) if moves else self._waiting.for_work(timeout, can, want)
            try:
                claimed, until = self._take(who, moves, free, want, can)
                return Turn(claimed, tuple(late), until)
            except exc.LeaseLost:
                self._claims.leases.drop(who)
            except exc.Conflict:
                want = max(1, want // 2)
            late += self._end(moves, who)
            moves, timeout = [], 0
        return Turn((), tuple(late))

    def _moves(self, ends: Iterable[Ending], who: str, late: list[Late]) -> Iterator[Move]:
        for ending in ends:
            try:
                yield Move(ending, *self._claims.ending(ending, who))
            except (exc.JobFailure, exc.NotFound) as error:
                late.append(Late(ending, error))

    def _fitting(self, moves: Sequence[Move]) -> Sequence[Move]:
        """Find out how many go into one commit."""
        batch = Batch(self._limits)
        return list(itertools.takewhile(lambda move: batch.add(move.event, move.writes), moves))

    # ------------------------------------------------------------- ends and claims in one

    def _take(
        self, who: str, moves: Sequence[Move], free: Jobs, want: int, can: Collection[str] | None
    ) -> tuple[tuple[Job, ...], float]:
        """Commit ends, and claims of the first jobs that are free; say also until when these are good."""
        taken: list[Job] = []
        until = 0.0
        self._claims.leases.of(who)  # not within the transaction: whoever keeps it up has to find it

        def plan(found: Sequence[Found]) -> Writes | None:
            nonlocal until
            until = SYSTEM.monotonic() + self._claims.leases.margin
            batch = Batch(self._limits)
            for move in moves:
                batch.add(move.event, move.writes)
            # A job whose claim was lost unnoticed may be among both: its end is late, and conflicts.
            ending = {move.ending.job.uuid for move in moves}
            others = (each for each in found if each.posting and each.posting.uuid not in ending)
            taken[:] = self._claim_in(batch, others, who)
            return self._writer.told(batch.together(), batch.events) if batch.events else None

        try:
            fence = self._taking.take(free, want, can, plan)
        except (exc.Conflict, exc.LeaseLost):
            raise
        except exc.StorageFailure:
            for job in taken:
                self._claims.doubt(job, who)  # it may have landed all the same
            raise
        for move in moves:
            self._claims.ended(move.ending.job, who)
        return tuple(self._claims.made(job, job.posting, who, fence) for job in taken), until

    def _claim_in(self, batch: Batch, found: Iterable[Found], who: str) -> Iterator[Job]:
        """Add claims to a commit, as many as there is room for."""
        for number, (_, posting, version, _) in enumerate(found):
            if posting is None or self._claims.is_late(posting):
                continue  # a sweep is due that gives it up
            alone = bool(posting.claims) and posting.claims[-1].ended == LOST
            if alone and number:
                return
            claimed = posting.claimed(who, self._claims.now())
            if not batch.add(*self._claims.claiming(claimed, version, who)):
                return
            yield self._make_job(claimed, 0)
            if alone:
                return

    # ------------------------------------------------------------- ends alone

    def _end(self, moves: Sequence[Move], who: str) -> list[Late]:
        """Commit ends together, or one by one if that cannot be."""
        if not moves:
            return []
        batch = Batch(self._limits)
        for move in moves:
            batch.add(move.event, move.writes)
        if self._writer.commit(batch.events, batch.together()):
            for move in moves:
                self._claims.ended(move.ending.job, who)
            return []
        late = []
        for move in moves:
            try:
                self._claims.end(move.ending, who)
            except (exc.JobFailure, exc.NotFound) as error:
                late.append(Late(move.ending, error))
        return late
