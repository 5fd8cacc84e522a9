"""Turns: the claims that were finished are ended, and the next jobs claimed, in one commit.

A worker whose jobs are short spends most of its time on trips to the board. In a turn it hands over all that
it has finished and gets all that it will do next: one listing and one commit, however many jobs they are
about. Where that conflicts (a claim was lost, another worker was quicker) the ends are made one by one, and
fewer jobs are claimed at once, so that nothing is lost or done twice.

A commit is bounded by what the place takes. A job whose last claim was lost is claimed by itself: should it
be the one that kills its workers, it is not to take its neighbours along.

Claims in one transaction, where the place can lock what is read: nobody who claims beside it is refused.

Who looks for jobs and then claims them, one commit that checks another's listing, is often too late when many
do so at once. In a database the jobs that were seen waiting are locked first, as they are now; those that
somebody else is claiming at this moment are passed over (PostgreSQL: SKIP LOCKED), and only what was had is
claimed, in the same transaction.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final

from stackl_flow import exceptions as exc
from stackl_flow.clock import SYSTEM
from stackl_flow.coordination.change_feed import Event, Writer
from stackl_flow.jobboards import claims as refusals
from stackl_flow.jobboards.claims import Claims
from stackl_flow.jobboards.job import LOST, WAITING, Ending, Job, Late, Posting, Turn
from stackl_flow.jobboards.keys import Places, spot_of
from stackl_flow.jobboards.queries import Found, Waiting
from stackl_flow.jobboards.transactions import Writes
from stackl_flow.kv.items import ABSENT, Limits
from stackl_flow.kv.store import KV, LockItems

#: Characters of values in one commit: well below the 1 MB that ZooKeeper takes, with keys, quotes and UTF-8.
_MOST_TEXT: Final = 250_000
#: Puts and deletes of a line of news, and of the note which jobs ended.
_BESIDE: Final = 3
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
            Conflict: somebody was quicker, or the claimer's lease ran out; nothing was written.
        """
        del can
        writes = plan(list(itertools.islice(free, want)))
        return ABSENT if writes is None else self._kv.commit(*writes)


class Batch:
    """Writes that land together.

    Args:
        limits: what the place takes.

    Attributes:
        events: what happens by them.
        writes: themselves.
        ends: the claims that end by them.
    """

    def __init__(self, limits: Limits) -> None:
        self.events: list[Event] = []
        self.ends: list[Ending] = []
        self._operations = (limits.operations or 10_000) - _BESIDE
        self._text = _MOST_TEXT
        self.writes: list[Writes] = []

    def __bool__(self) -> bool:
        return bool(self.writes)

    def add(self, event: Event, writes: Writes) -> bool:
        """Add to it.

        Args:
            event: what happens.
            writes: what is written for it.

        Returns:
            False if there is no room; the first always has.
        """
        operations = self._operations - max(len(writes.checks), len(writes.puts) + len(writes.deletes))
        text = self._text - len(event[1].to_text()) - sum([len(put.value) for put in writes.puts])
        if self.writes and (operations < 0 or text < 0):
            return False
        self._operations, self._text = operations, text
        self.writes.append(writes)
        self.events.append(event)
        return True

    def copy(self) -> Batch:
        """Make another one, to which more may be added."""
        made = copy.copy(self)
        made.events, made.ends, made.writes = [*self.events], [*self.ends], [*self.writes]
        return made

    def together(self) -> Writes:
        """Make one commit of it."""
        checks, puts, deletes = zip(*self.writes, strict=True)
        flat = itertools.chain.from_iterable
        # That the owner is there is asked once for all that he has.
        return Writes(tuple(dict.fromkeys(flat(checks))), tuple(flat(puts)), tuple(flat(deletes)))


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
        *before, batch = self._batches(ends, who, late)
        for full in before if want > 0 else (*before, batch):
            late += self._end(full, who)
        for _ in range(_TRIES if want > 0 else 0):
            free = self._waiting.at_once(can, want) if batch else self._waiting.for_work(timeout, can, want)
            try:
                claimed, until = self._take(who, batch, free, want, can)
                return Turn(claimed, tuple(late), until)
            except exc.Conflict:
                self._claims.leases.check(who)
                want = max(1, want // 2)
            late += self._end(batch, who)
            batch, timeout = Batch(self._limits), 0
        return Turn((), tuple(late))

    def _batches(self, ends: Iterable[Ending], who: str, late: list[Late]) -> list[Batch]:
        """Spread ends over as many commits as they need; what comes too late is told at once."""
        batches = [Batch(self._limits)]
        for ending in ends:
            try:
                event, writes = self._claims.ending(ending, who)
                self._refuse_too_much(ending, writes)
            except (exc.JobFailure, exc.NotFound, exc.NotSerializable) as error:
                late.append(Late(ending, error))
                continue
            if not batches[-1].add(event, writes):
                batches.append(Batch(self._limits))
                batches[-1].add(event, writes)
            batches[-1].ends.append(ending)
        return batches

    def _refuse_too_much(self, ending: Ending, writes: Writes) -> None:
        """Refuse what no commit will ever take, before it keeps others from landing."""
        most = self._limits.value
        size = max([len(put.value) for put in writes.puts], default=0)
        if most is not None and size > most:
            raise exc.NotSerializable(
                f"what came of job '{ending.job.name}' ({ending.job.uuid}) takes {size} bytes, more than the "
                f"board takes ({most}): let the flow keep large values elsewhere, and provide where they are"
            )

    # ------------------------------------------------------------- ends and claims in one

    def _take(
        self, who: str, ends: Batch, free: Jobs, want: int, can: Collection[str] | None
    ) -> tuple[tuple[Job, ...], float]:
        """Commit ends, and claims of the first jobs that are free; say also until when these are good."""
        taken: list[Job] = []
        until = 0.0
        # Not within the transaction: whoever keeps the lease up has to find it.
        lease = self._claims.leases.of(who)
        # A job whose claim was lost unnoticed may be among both: its end is late, and conflicts.
        ending = {end.job.uuid for end in ends.ends}

        def plan(found: Sequence[Found]) -> Writes | None:
            nonlocal until
            until = SYSTEM.monotonic() + self._claims.leases.margin
            batch = ends.copy()
            others = (each for each in found if each.posting and each.posting.uuid not in ending)
            taken[:] = self._claim_in(batch, others, who, lease.id)
            return self._writer.told(self._together(batch), batch.events) if batch else None

        try:
            fence = self._taking.take(free, want, can, plan)
        except exc.Conflict:
            raise
        except exc.StorageFailure:
            for job in taken:
                self._claims.doubt(job, who)  # it may have landed all the same
            raise
        for end in ends.ends:
            self._claims.ended(end.job, who)
        return tuple([self._claims.made(job, job.posting, who, fence) for job in taken]), until

    def _together(self, batch: Batch) -> Writes:
        return self._claims.noted(batch.together(), batch.ends)

    def _claim_in(self, batch: Batch, found: Iterable[Found], who: str, lease: str) -> Iterator[Job]:
        """Add claims to a commit, as many as there is room for."""
        for number, (_, posting, version, _) in enumerate(found):
            if posting is None or self._claims.is_late(posting):
                continue  # a sweep is due that gives it up
            alone = bool(posting.claims) and posting.claims[-1].ended == LOST
            if alone and number:
                return
            claimed = posting.claimed(who, lease, self._claims.now())
            (event,), writes = self._claims.claiming(claimed, version)
            if not batch.add(event, writes):
                return
            yield self._make_job(claimed, 0)
            if alone:
                return

    # ------------------------------------------------------------- ends alone

    def _end(self, batch: Batch, who: str) -> list[Late]:
        """Commit ends together, or one by one if that cannot be."""
        if not batch:
            return []
        if self._writer.commit(batch.events, self._together(batch)):
            for end in batch.ends:
                self._claims.ended(end.job, who)
            return []
        late = []
        for end in batch.ends:
            try:
                self._claims.end(end, who)
            except (exc.JobFailure, exc.NotFound) as error:
                late.append(Late(end, error))
        return late


class LockedTaking(Taking):
    """Claims jobs that are locked first.

    Args:
        kv: the place; one that ``takes``.
        places: makes keys.
    """

    def __init__(self, kv: KV, places: Places) -> None:
        super().__init__(kv)
        self._places = places

    def take(self, free: Jobs, want: int, can: Collection[str] | None, plan: Plan) -> int:
        """Claim the first of the jobs that are free and that nobody else is claiming.

        Args:
            free: the jobs that were seen waiting a moment ago, in their order.
            want: how many at most.
            can: not asked: ``free`` has no others.
            plan: says for the jobs that are to be claimed what is to be committed; None for nothing.

        Returns:
            The version of the commit.

        Raises:
            Conflict: a claim that was to be ended is lost, or the claimer's lease; nothing was written.
        """
        del can
        # What was read stays read, should the transaction be done again.
        seen, again = itertools.tee(free)

        def work(take: LockItems) -> int:
            nonlocal again
            jobs, again = itertools.tee(again)
            writes = plan(self._had(jobs, want, take))
            return ABSENT if writes is None else self._kv.commit(*writes)

        first = next(seen, None)
        if first is None:
            writes = plan(())
            return ABSENT if writes is None else self._kv.commit(*writes)
        return self._kv.run_with_locks(work)

    def _had(self, jobs: Jobs, want: int, take: LockItems) -> Sequence[Found]:
        """Take jobs until there are enough, or no more."""
        had: list[Found] = []
        while len(had) < want:
            asked = [found.posting for found in itertools.islice(jobs, want - len(had))]
            if not asked:
                break
            keys = [self._places.at(WAITING, spot_of(posting)) for posting in asked if posting is not None]
            there = {item.key: item for item in take(keys)}
            had += [
                Found(WAITING, Posting.from_text(there[key].value), there[key].version)
                for key in keys
                if key in there
            ]
        return had


def taking(kv: KV, places: Places) -> Taking:
    """Choose how jobs are claimed in a place.

    Args:
        kv: the place.
        places: makes keys.

    Returns:
        What claims them.
    """
    return LockedTaking(kv, places) if kv.supports_locks else Taking(kv)
