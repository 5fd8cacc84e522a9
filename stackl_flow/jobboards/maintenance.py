"""Maintenance of a board, and the policy of its queue.

There is no server process behind a board: every process that looks for jobs runs maintenance first. It
releases the claims whose leases have expired, makes scheduled jobs available, turns expired ones into dead
letters, and deletes outcomes that were retained long enough. Two processes may do this at the same time: each
commit checks what its decision was based on.

A run costs a few short requests, and reads no jobs unless there is something to do for them. Lost claims are
found by the leases that claims were made with: their items outlive the leases (``holder/<lease>``), and only
when one of them has expired are the claimed jobs read. A process that waits runs maintenance after a change
of the board, when a job is due, and now and then in case it missed something.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Final, NamedTuple

from stackl_flow import exceptions as exc
from stackl_flow.clock import Clock
from stackl_flow.jobboards import events, sizes, transactions
from stackl_flow.jobboards.events import EventWriter
from stackl_flow.jobboards.keys import ENDED, EXPIRING, HOLDER, LOG, OWNER, BoardKeys
from stackl_flow.jobboards.record import (
    CLAIMED,
    DECLINED,
    DEFERRED,
    ENDED_STATES,
    FAILED_CLAIMS,
    LOST,
    SCHEDULED,
    WAITING,
    JobRecord,
)
from stackl_flow.jobboards.transactions import ClaimedJob, Writes
from stackl_flow.jobboards.unreadable import UnreadableEntries
from stackl_flow.kv.items import ABSENT, Check, Item
from stackl_flow.kv.store import KV, read_pages

#: Maximum number of items of one kind in one run; the next run continues.
_BATCH: Final = 100
#: How many batches that cannot be handled are passed over in one run.
_MAX_BATCHES: Final = 20

#: Seconds between two runs by one board object while the board changes: how late a lost claim may be found.
MAINTENANCE_PERIOD: Final = 0.25
#: Seconds between two runs while nothing changes, about: in case a notification was lost.
_IDLE_PERIOD: Final = 30.0
#: Seconds between two searches of all claimed jobs, about: for claims that earlier releases made.
_SCAN_PERIOD: Final = 600.0
#: Seconds between two deletions of outcomes, at most, and as a part of their retention.
_PRUNE_PERIOD: Final = 30.0
_PRUNES_IN_RETENTION: Final = 10

#: Seconds that a deferred job is delayed: at first, and at most.
_FIRST_DELAY: Final = 0.5
_MAX_DELAY: Final = 60.0
#: How many failed claims a declined job can have before it is delayed for all owners.
_FREE_DECLINES: Final = 5


#: Default of ``max_claims``.
MAX_CLAIMS: Final = 10


class QueuePolicy(NamedTuple):
    """How a board treats its jobs.

    Attributes:
        max_claims: a job becomes a dead letter when that many of its claims have failed (see
            ``FAILED_CLAIMS``); None for no limit.
        outcome_retention: seconds for which the outcome of an ended job is kept.
    """

    max_claims: int | None = MAX_CLAIMS
    outcome_retention: float = 86_400.0

    def end_claim(
        self, keys: BoardKeys, job: ClaimedJob, disposition: str, now: float, reason: str = ""
    ) -> tuple[str, Writes]:
        """Return the event and the writes for a claim that ended without its job.

        The job waits again, or becomes a dead letter after ``max_claims`` failed claims.
        """
        ended = job.record.with_claim_ended(disposition, now, reason)
        has_failed = disposition in FAILED_CLAIMS
        if has_failed and self.max_claims is not None and ended.failed_claims >= self.max_claims:
            reason = sizes.short_reason(_reason_of_history(ended))
            trashed = job._replace(record=ended)
            return events.REMOVAL, transactions.trash(keys, trashed, reason, now)
        if disposition == DECLINED:
            ended = ended.with_owner_delayed(now + self.delay(ended))
        # Once a few owners have declined it all wait: a hundred of them would use up its claims at once.
        delays_all = disposition == DEFERRED or (
            disposition == DECLINED and ended.failed_claims >= _FREE_DECLINES
        )
        delay = self.delay(ended) if delays_all else 0.0
        return events.ABANDONED, transactions.release(keys, job, ended, now, delay)

    @staticmethod
    def delay(record: JobRecord) -> float:
        """Return the seconds to delay a job, or the owner of its last claim: exponential backoff."""
        return float(min(_MAX_DELAY, _FIRST_DELAY * 2 ** min(record.failed_claims - 1, 16)))


def _reason_of_history(record: JobRecord) -> str:
    """Return the reason of a dead letter that was claimed too often: who claimed it, and the last reason."""
    history = ", ".join(f"{claim.owner} ({claim.ended})" for claim in record.claims if claim.ended)
    reason = f"{record.failed_claims} claims failed: {history}"
    last = next((claim.reason for claim in reversed(record.claims) if claim.reason), "")
    return f"{reason}; last reason: {last}" if last else reason


class Maintenance:
    """Runs maintenance on one board."""

    def __init__(
        self,
        kv: KV,
        keys: BoardKeys,
        policy: QueuePolicy,
        clock: Clock,
        writer: EventWriter,
        unreadable: UnreadableEntries,
    ) -> None:
        self._kv = kv
        self._keys = keys
        self._policy = policy
        self._clock = clock
        self._writer = writer
        self._unreadable = unreadable
        self._last_run = self._last_scan = self._last_prune = -math.inf
        self._next_due_at: float | None = None
        # Not the same in all processes, so that they do not all run at once.
        self._jitter = random.uniform(0.75, 1.25)  # noqa: S311  no secret

    def is_due(self, *, changed: bool) -> bool:
        """Return whether it is time for a run.

        Args:
            changed: whether the board may have changed since the last run.
        """
        return self.delay(changed=changed) <= 0

    def delay(self, *, changed: bool) -> float:
        """Return the seconds until the next run: a job is due then, or it is time to look for changes."""
        period = MAINTENANCE_PERIOD if changed else _IDLE_PERIOD * self._jitter
        delay = self._last_run + period - self._clock.monotonic()
        if self._next_due_at is not None:
            delay = min(delay, self._next_due_at - self._clock.now())
        return max(0.0, delay)

    def run(self) -> None:
        """Do what is due now."""
        now, begun = self._clock.now(), self._clock.monotonic()
        self._release_lost_claims(now, begun)
        due = (
            self._handle_due(SCHEDULED, self._make_waiting, now),
            self._handle_due(EXPIRING, self._expire, now),
        )
        self._delete_outcomes(now, begun)
        self._unreadable.set_aside()
        self._next_due_at = min((time for time in due if time is not None), default=None)
        self._last_run = begun

    # ------------------------------------------------------------- lost claims

    def _release_lost_claims(self, now: float, begun: float) -> None:
        owners, holders = self._kv.list_many([self._keys.prefix(OWNER), self._keys.prefix(HOLDER)])
        live = {item.key for item in owners}
        prefix = self._keys.prefix(HOLDER)
        expired = [
            item for item in holders if self._keys.prefix(OWNER) + item.key.removeprefix(prefix) not in live
        ]
        if not expired and begun < self._last_scan + _SCAN_PERIOD * self._jitter:
            return
        for item in read_pages(self._kv, self._keys.prefix(CLAIMED), _BATCH, _BATCH):
            record = self._unreadable.read_record(item, CLAIMED)
            if record is not None and self._keys.owner(record.lease) not in live:
                job = ClaimedJob(record, item.version, record.lease, is_lost=True)
                event, writes = self._policy.end_claim(self._keys, job, LOST, now)
                self._writer.commit([(event, record)], writes)
        for item in expired:
            owner = self._keys.prefix(OWNER) + item.key.removeprefix(prefix)
            self._delete(item, Check(owner, ABSENT))
        self._last_scan = begun

    # ------------------------------------------------------------- jobs that are due

    def _handle_due(self, kind: str, handle: Callable[[Item, float], bool], now: float) -> float | None:
        """Handle the items whose key begins with a time that has been reached.

        Returns:
            When the next one is due; None if there is none.
        """
        after, size = "", 1
        for _ in range(_MAX_BATCHES):
            items = self._kv.list(self._keys.prefix(kind), after=after, limit=size)
            handled = 0
            for item in items if size > 1 else ():
                time = self._time_of(item, kind, "/")
                if time is not None and time > now:
                    return time
                handled += time is not None and handle(item, now)
            if size == 1 and items:
                time = self._time_of(items[0], kind, "/")
                if time is not None and time > now:
                    return time
                size = _BATCH
                continue
            if len(items) < size:
                return None
            if handled:
                return now
            after = items[-1].key
        return None

    def _make_waiting(self, item: Item, now: float) -> bool:
        record = self._unreadable.read_record(item, SCHEDULED)
        if record is None:
            return False
        writes = transactions.make_waiting(self._keys, record, item.version, now)
        self._writer.commit([(events.POSTED, record)], writes)
        return True

    def _expire(self, item: Item, now: float) -> bool:
        position = item.key.removeprefix(self._keys.prefix(EXPIRING)).partition("/")[2]
        key = self._keys.key(WAITING, position)
        waiting = self._kv.get(key)
        if waiting is None:
            # It was claimed, by a commit that also deleted this item; or the job was set aside.
            self._delete(item, Check(key, ABSENT))
            return True
        record = self._unreadable.read_record(waiting, WAITING)
        if record is None:
            return False
        reason = "not claimed before it expired"
        writes = transactions.expire(self._keys, record, waiting.version, reason, now)
        self._writer.commit([(events.REMOVAL, record)], writes)
        return True

    # ------------------------------------------------------------- retention

    def _delete_outcomes(self, now: float, begun: float) -> None:
        retention = self._policy.outcome_retention
        period = min(_PRUNE_PERIOD * self._jitter, retention / _PRUNES_IN_RETENTION)
        if begun < self._last_prune + period:
            return
        is_complete = True
        for prefix in (ENDED, *(f"{LOG}/{state}" for state in ENDED_STATES)):
            is_complete = self._prune(prefix, now - retention) and is_complete
        if is_complete:
            self._last_prune = begun

    def _prune(self, prefix: str, until: float) -> bool:
        """Delete the outcomes of a log up to a time; return whether that was all."""
        items = self._kv.list(self._keys.prefix(prefix), limit=1)
        if items:
            time = self._time_of(items[0], prefix, "-")
            if time is None or time <= until:
                items = self._kv.list(self._keys.prefix(prefix), limit=_BATCH)
        for item in items:
            time = self._time_of(item, prefix, "-")
            if time is None:
                continue
            if time > until:
                return True
            self._delete_logged(item)
        return len(items) < _BATCH

    def _delete_logged(self, item: Item) -> None:
        try:
            ended = transactions.read_log_entry(item.value)
            limit = self._kv.limits.operations
            for writes in transactions.delete_outcomes(self._keys, item.key, ended, limit):
                self._commit(writes)
        except exc.InvalidFormat as error:
            self._unreadable.note(item, error)

    # ------------------------------------------------------------- internals

    def _time_of(self, item: Item, prefix: str, separator: str) -> float | None:
        text = item.key.removeprefix(self._keys.prefix(prefix)).partition(separator)[0]
        return self._unreadable.read_time(item, text)

    def _delete(self, item: Item, check: Check) -> None:
        self._commit(Writes((Check(item.key, item.version), check), (), (item.key,)))

    def _commit(self, writes: Writes) -> None:
        try:
            self._kv.commit(*writes)
        except exc.Conflict:
            return  # another process was faster
