"""Maintenance of a board, and the policy of its queue.

There is no server process behind a board: every process that looks for jobs runs maintenance first. It
releases the claims whose leases have expired, makes scheduled jobs available, turns expired ones into dead
letters, and deletes outcomes that were retained long enough. Two processes may do this at the same time: each
commit checks what its decision was based on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from stackl_flow import exceptions as exc
from stackl_flow.clock import Clock
from stackl_flow.jobboards import events, transactions
from stackl_flow.jobboards.events import EventWriter
from stackl_flow.jobboards.keys import ENDED, EXPIRING, OWNER, BoardKeys, time_of_key
from stackl_flow.jobboards.record import CLAIMED, DEFERRED, FAILED_CLAIMS, LOST, SCHEDULED, WAITING, JobRecord
from stackl_flow.jobboards.transactions import ClaimedJob, Writes
from stackl_flow.kv.items import Item
from stackl_flow.kv.store import KV

#: Maximum number of items of one kind in one run; the next run continues.
_BATCH: Final = 100

#: Seconds that a deferred job is delayed: at first, and at most.
_FIRST_DELAY: Final = 0.5
_MAX_DELAY: Final = 60.0


class QueuePolicy(NamedTuple):
    """How a board treats its jobs.

    Attributes:
        max_claims: a job becomes a dead letter when that many of its claims have failed (see
            ``FAILED_CLAIMS``); None for no limit.
        outcome_retention: seconds for which the outcome of an ended job is kept.
    """

    max_claims: int | None = 10
    outcome_retention: float = 86_400.0

    def end_claim(self, keys: BoardKeys, job: ClaimedJob, disposition: str, now: float) -> tuple[str, Writes]:
        """Return the event and the writes for a claim that ended without its job.

        The job waits again, or becomes a dead letter after ``max_claims`` failed claims.
        """
        ended = job.record.with_claim_ended(disposition, now)
        has_failed = disposition in FAILED_CLAIMS
        if has_failed and self.max_claims is not None and ended.failed_claims >= self.max_claims:
            history = ", ".join(f"{claim.owner} ({claim.ended})" for claim in ended.claims if claim.ended)
            reason = f"{ended.failed_claims} claims failed: {history}"
            return events.REMOVAL, transactions.trash(keys, job._replace(record=ended), reason, now)
        delay = self.delay(ended) if disposition == DEFERRED else 0.0
        return events.ABANDONED, transactions.release(keys, job, disposition, now, delay)

    @staticmethod
    def delay(record: JobRecord) -> float:
        """Return the seconds to delay a job whose last claim was deferred: exponential backoff."""
        return float(min(_MAX_DELAY, _FIRST_DELAY * 2 ** (record.failed_claims - 1)))


class Maintenance:
    """Runs maintenance on one board."""

    def __init__(
        self, kv: KV, keys: BoardKeys, policy: QueuePolicy, clock: Clock, writer: EventWriter
    ) -> None:
        self._kv = kv
        self._keys = keys
        self._policy = policy
        self._clock = clock
        self._writer = writer
        self._last_run = -math.inf
        self._next_due_at: float | None = None

    @property
    def age(self) -> float:
        """Seconds since the last run by this object; infinite before it, or if a job has become due since."""
        if self._next_due_at is not None and self._next_due_at <= self._clock.now():
            return math.inf
        return self._clock.monotonic() - self._last_run

    def next_due(self) -> float | None:
        """Return the seconds until a job is due, as of the last run; None if none is scheduled or expires."""
        return None if self._next_due_at is None else max(0.0, self._next_due_at - self._clock.now())

    def run(self) -> None:
        """Do what is due now."""
        now, begun = self._clock.now(), self._clock.monotonic()
        self._release_lost_claims(now)
        self._make_due_jobs_waiting(now)
        self._expire_jobs(now)
        self._delete_outcomes(now)
        self._next_due_at = self._find_next_due()
        self._last_run = begun

    def _release_lost_claims(self, now: float) -> None:
        claimed = self._list(CLAIMED, None)
        if not claimed:
            return
        owners = {item.key for item in self._kv.list(self._keys.prefix(OWNER))}
        for item in claimed:
            record = JobRecord.from_text(item.value)
            if self._keys.owner(record.lease) in owners:
                continue
            job = ClaimedJob(record, item.version, record.lease, is_lost=True)
            event, writes = self._policy.end_claim(self._keys, job, LOST, now)
            self._writer.commit([(event, record)], writes)

    def _make_due_jobs_waiting(self, now: float) -> None:
        for item in self._until(SCHEDULED, now):
            record = JobRecord.from_text(item.value)
            writes = transactions.make_waiting(self._keys, record, item.version, now)
            self._writer.commit([(events.POSTED, record)], writes)

    def _expire_jobs(self, now: float) -> None:
        for item in self._until(EXPIRING, now):
            position = item.key.removeprefix(self._keys.prefix(EXPIRING)).partition("/")[2]
            waiting = self._kv.get(self._keys.key(WAITING, position))
            if waiting is None:
                continue  # it is being claimed, by a commit that also deletes this item
            record = JobRecord.from_text(waiting.value)
            reason = "not claimed before it expired"
            writes = transactions.expire(self._keys, record, waiting.version, reason, now)
            self._writer.commit([(events.REMOVAL, record)], writes)

    def _delete_outcomes(self, now: float) -> None:
        for item in self._until(ENDED, now - self._policy.outcome_retention, separator="-"):
            writes = transactions.delete_outcomes(self._keys, item.key, json.loads(item.value))
            try:
                self._kv.commit(*writes)
            except exc.Conflict:
                continue  # another process deleted them

    def _until(self, prefix: str, until: float, separator: str = "/") -> Iterator[Item]:
        """Iterate over the items whose key begins with a time that is not after ``until``."""
        first = self._list(prefix, 1)
        if not first or self._time_of(first[0], prefix, separator) > until:
            return
        for item in self._list(prefix, _BATCH):
            if self._time_of(item, prefix, separator) > until:
                return
            yield item

    def _find_next_due(self) -> float | None:
        times: Iterable[float] = (
            self._time_of(item, prefix, "/")
            for prefix in (SCHEDULED, EXPIRING)
            for item in self._list(prefix, 1)
        )
        return min(times, default=None)

    def _time_of(self, item: Item, prefix: str, separator: str) -> float:
        return time_of_key(item.key.removeprefix(self._keys.prefix(prefix)).partition(separator)[0])

    def _list(self, prefix: str, limit: int | None) -> list[Item]:
        return self._kv.list(self._keys.prefix(prefix), limit=limit)
