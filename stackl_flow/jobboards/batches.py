"""Batches: ending claims and claiming the next jobs in one commit; see ``JobBoard.complete_and_claim``.

An owner of short jobs spends most of its time on requests to the board. In a batch it passes everything that
it has finished and gets everything that it will do next: one listing and one commit, however many jobs they
are about. Where that conflicts (a claim was lost, another owner was faster) the claims are ended one by one,
and fewer jobs are claimed at once, so that nothing is lost or done twice.

A commit is bounded by the limits of the store. A job whose last claim was lost is claimed alone: if it is the
one that kills its owners, it must not affect others.

There are two ways to claim. ``OptimisticClaimer`` lists the waiting jobs and commits with a check of what it
read: when many owners do so at the same time most of them conflict. In a database ``LockingClaimer`` locks
the jobs first and skips those that another owner has locked (PostgreSQL: SKIP LOCKED), in the transaction
that claims them.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from stackl_flow import exceptions as exc
from stackl_flow.clock import SYSTEM
from stackl_flow.jobboards import transactions
from stackl_flow.jobboards.base import ClaimBatch, Job, JobCompletion, RejectedCompletion
from stackl_flow.jobboards.claims import Claims, check_owner
from stackl_flow.jobboards.events import POSTED, Event, EventWriter
from stackl_flow.jobboards.keys import BoardKeys, group_of, sort_key
from stackl_flow.jobboards.queries import Waiter
from stackl_flow.jobboards.record import LOST, WAITING, JobRecord, JobSnapshot
from stackl_flow.jobboards.transactions import Writes
from stackl_flow.jobboards.unreadable import UnreadableEntries
from stackl_flow.kv.items import ABSENT, Limits
from stackl_flow.kv.store import KV, LockItems

#: Characters of values in one commit: well below the 1 MB that ZooKeeper accepts, with keys, quotes and
#: UTF-8.
_MAX_TEXT: Final = 250_000
#: Puts and deletes of a feed entry, and of the logs of jobs that succeeded and of those that failed.
_EXTRA_OPERATIONS: Final = 4
#: How often to look for jobs again, for ever fewer of them, when other owners are faster.
_ATTEMPTS: Final = 6

Jobs = Iterator[JobSnapshot]
#: Returns the writes, checks included, that claim these jobs; None for no commit.
Plan = Callable[[Sequence[JobSnapshot]], Writes | None]


class OptimisticClaimer:
    """Claims jobs that were read before, by a commit that checks their versions."""

    def __init__(self, kv: KV) -> None:
        self._kv = kv

    def claim(self, waiting: Jobs, limit: int, plan: Plan) -> int:
        """Claim the first waiting jobs, in a commit with what else ``plan`` writes; return its version.

        Raises:
            Conflict: another owner was faster, a claim was lost, or the owner's lease has expired; nothing
                was written.
        """
        writes = plan(list(itertools.islice(waiting, limit)))
        return ABSENT if writes is None else self._kv.commit(*writes)


class LockingClaimer(OptimisticClaimer):
    """Claims jobs that it locks first, in a store that can lock what it reads."""

    def __init__(self, kv: KV, keys: BoardKeys, unreadable: UnreadableEntries) -> None:
        super().__init__(kv)
        self._keys = keys
        self._unreadable = unreadable

    def claim(self, waiting: Jobs, limit: int, plan: Plan) -> int:
        """Claim the first of the waiting jobs that no other owner is claiming."""
        # A transaction that is retried iterates again over what it has read.
        seen, again = itertools.tee(waiting)

        def transaction(lock: LockItems) -> int:
            nonlocal again
            jobs, again = itertools.tee(again)
            writes = plan(self._lock(jobs, limit, lock))
            return ABSENT if writes is None else self._kv.commit(*writes)

        if next(seen, None) is None:
            return super().claim(iter(()), limit, plan)
        return self._kv.run_with_locks(transaction)

    def _lock(self, jobs: Jobs, limit: int, lock: LockItems) -> Sequence[JobSnapshot]:
        """Lock jobs until there are enough, or no more."""
        locked: list[JobSnapshot] = []
        while len(locked) < limit:
            page = [job.record for job in itertools.islice(jobs, limit - len(locked))]
            if not page:
                break
            keys = [self._keys.key(WAITING, sort_key(record)) for record in page if record is not None]
            items = {item.key: item for item in lock(keys)}
            for key in keys:
                record = self._unreadable.read_record(items[key], WAITING) if key in items else None
                if record is not None:
                    locked.append(JobSnapshot(WAITING, record, items[key].version))
        return locked


def make_claimer(kv: KV, keys: BoardKeys, unreadable: UnreadableEntries) -> OptimisticClaimer:
    """Return the claimer for a store."""
    return LockingClaimer(kv, keys, unreadable) if kv.supports_locks else OptimisticClaimer(kv)


class _Batch:
    """Writes for one commit, with their events and the claims that end by them."""

    def __init__(self, limits: Limits) -> None:
        self.events: list[Event] = []
        self.completions: list[JobCompletion] = []
        self.writes: list[Writes] = []
        self._operations_left = (limits.operations or 10_000) - _EXTRA_OPERATIONS
        self._text_left = min(_MAX_TEXT, (limits.commit or 4 * _MAX_TEXT) // 4)

    def __bool__(self) -> bool:
        return bool(self.writes)

    def add(self, event: Event, writes: Writes) -> bool:
        """Add writes, or return False if they do not fit; the first always fit."""
        count = max(len(writes.checks), len(writes.puts) + len(writes.deletes))
        operations = self._operations_left - count
        text = self._text_left - len(event[1].to_summary()) - sum([len(put.value) for put in writes.puts])
        if self.writes and (operations < 0 or text < 0):
            return False
        self._operations_left, self._text_left = operations, text
        self.writes.append(writes)
        self.events.append(event)
        return True

    def copy(self) -> _Batch:
        made = copy.copy(self)
        made.events, made.completions, made.writes = [*self.events], [*self.completions], [*self.writes]
        return made

    def merged_writes(self) -> Writes:
        checks, puts, deletes = zip(*self.writes, strict=True)
        flat = itertools.chain.from_iterable
        # The check of the owner's lease is the same for all of its claims.
        return Writes(tuple(dict.fromkeys(flat(checks))), tuple(flat(puts)), tuple(flat(deletes)))


class PreparedPosts(NamedTuple):
    """Jobs to be posted by one commit; see ``KVBoard.prepare_posts``.

    Attributes:
        records: the jobs.
        writes: the checks, puts and deletes of the commit.
    """

    records: tuple[JobRecord, ...]
    writes: Writes


class PostBatch:
    """Posts for one commit."""

    def __init__(self, keys: BoardKeys, limits: Limits) -> None:
        self._keys = keys
        self._batch = _Batch(limits)
        self._taken: set[str] = set()

    def add(self, record: JobRecord, now: float, *, new_group: bool) -> bool:
        """Add a post, or return False if it does not fit; the first always fits."""
        group = group_of(record.required_capabilities)
        unique = {f"key {record.key}"} if record.key is not None else set()
        unique.add(f"uuid {record.uuid}")
        if unique & self._taken:
            return False  # the next commit finds the first one
        is_new = new_group and f"group {group}" not in self._taken
        writes = transactions.post(self._keys, record, now, new_group=is_new)
        if not self._batch.add((POSTED, record), writes):
            return False
        self._taken |= unique | {f"group {group}"}
        return True

    def finish(self, writer: EventWriter) -> PreparedPosts:
        """Return the posts, with their writes and events."""
        records = tuple(record for _, record in self._batch.events)
        return PreparedPosts(records, writer.with_events(self._batch.merged_writes(), self._batch.events))


class Batches:
    """Runs batches on one board."""

    def __init__(
        self,
        claims: Claims,
        writer: EventWriter,
        waiter: Waiter,
        kv: KV,
        claimer: OptimisticClaimer,
        make_job: Callable[[JobRecord, int], Job],
    ) -> None:
        self._claims = claims
        self._writer = writer
        self._waiter = waiter
        self._kv = kv
        self._claimer = claimer
        self._make_job = make_job

    def run(
        self,
        owner: str,
        completions: Iterable[JobCompletion],
        limit: int,
        capabilities: Collection[str] | None,
        timeout: float | None,
    ) -> ClaimBatch:
        """End claims and make new ones; see ``JobBoard.complete_and_claim``."""
        check_owner(owner)
        if limit > 0:
            self._claims.release_uncertain()
        rejected: list[RejectedCompletion] = []
        *full, batch = self._split(completions, owner, rejected)
        for each in full if limit > 0 else (*full, batch):
            rejected += self._complete(each, owner)
        for _ in range(_ATTEMPTS if limit > 0 else 0):
            if batch:
                waiting = self._waiter.waiting_now(capabilities, limit, owner)
            else:
                waiting = self._waiter.wait_for_jobs(timeout, capabilities, limit, owner)
            try:
                claimed, start_by = self._claim(owner, batch, waiting, limit)
                return ClaimBatch(claimed, tuple(rejected), start_by)
            except (exc.Conflict, exc.ValueTooLarge):
                self._claims.leases.check(owner)
                limit = max(1, limit // 2)
            rejected += self._complete(batch, owner)
            batch, timeout = _Batch(self._kv.limits), 0
        return ClaimBatch((), tuple(rejected))

    def _split(
        self, completions: Iterable[JobCompletion], owner: str, rejected: list[RejectedCompletion]
    ) -> list[_Batch]:
        """Distribute completions over as many commits as they need; reject those of lost claims."""
        batches = [_Batch(self._kv.limits)]
        for completion in completions:
            try:
                event, writes = self._claims.completion_writes(completion, owner)
            except (exc.JobFailure, exc.NotFound, exc.NotSerializable) as error:
                rejected.append(RejectedCompletion(completion, error))
                continue
            if not batches[-1].add(event, writes):
                batches.append(_Batch(self._kv.limits))
                batches[-1].add(event, writes)
            batches[-1].completions.append(completion)
        return batches

    # ------------------------------------------------------------- completions and claims in one commit

    def _claim(
        self, owner: str, completed: _Batch, waiting: Jobs, limit: int
    ) -> tuple[tuple[Job, ...], float]:
        """Commit completions, and claims of the first waiting jobs; return these and their ``start_by``."""
        claimed: list[Job] = []
        start_by = 0.0
        # Before the transaction: the heartbeat must be able to see the lease.
        lease = self._claims.leases.get(owner)
        # A job whose claim was lost unnoticed may be among both: its completion conflicts.
        completing = {each.job.uuid for each in completed.completions}

        def plan(jobs: Sequence[JobSnapshot]) -> Writes | None:
            nonlocal start_by
            start_by = SYSTEM.monotonic() + self._claims.leases.margin
            batch = completed.copy()
            others = (job for job in jobs if job.record and job.record.uuid not in completing)
            claimed[:] = self._add_claims(batch, others, owner, lease.id)
            return self._writer.with_events(self._merge(batch), batch.events) if batch else None

        try:
            token = self._claimer.claim(waiting, limit, plan)
            for each in completed.completions:
                self._claims.remove(each.job, owner)
            return tuple([self._claims.add(job, job.record, owner, token) for job in claimed]), start_by
        except exc.Conflict:
            raise
        except BaseException:  # interrupted, or the store failed
            for job in claimed:
                self._claims.add_uncertain(job, owner, lease.id)
            raise

    def _merge(self, batch: _Batch) -> Writes:
        return self._claims.with_ended_log(batch.merged_writes(), batch.completions)

    def _add_claims(
        self, batch: _Batch, jobs: Iterable[JobSnapshot], owner: str, lease: str
    ) -> Iterator[Job]:
        """Add claims to a commit, as many as fit."""
        for number, (_, record, version, _) in enumerate(jobs):
            if record is None or self._claims.has_expired(record):
                continue  # the next maintenance run makes it a dead letter
            alone = bool(record.claims) and record.claims[-1].ended == LOST
            if alone and number:
                return
            claimed = record.with_claim(owner, lease, self._claims.now())
            (event,), writes = self._claims.claim_writes(claimed, version)
            if not batch.add(event, writes):
                return
            yield self._make_job(claimed, 0)
            if alone:
                return

    # ------------------------------------------------------------- completions only

    def _commit(self, batch: _Batch) -> bool:
        try:
            return self._writer.commit(batch.events, self._merge(batch))
        except exc.ValueTooLarge:
            return False  # the store takes less than it declares

    def _complete(self, batch: _Batch, owner: str) -> list[RejectedCompletion]:
        """Commit completions together, or one by one if that conflicts."""
        if not batch:
            return []
        if self._commit(batch):
            for each in batch.completions:
                self._claims.remove(each.job, owner)
            return []
        rejected = []
        for each in batch.completions:
            try:
                self._claims.complete(each, owner)
            except (exc.JobFailure, exc.NotFound) as error:
                rejected.append(RejectedCompletion(each, error))
        return rejected
