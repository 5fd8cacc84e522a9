"""The claims that one board object holds: made and ended one at a time, or as parts of a batch.

Each claim is remembered with its fencing token, so that ending it reads nothing: the commit checks the token.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.clock import Clock
from stackl_flow.coordination.leases import Leases
from stackl_flow.jobboards import events, sizes, transactions
from stackl_flow.jobboards.base import Job, JobCompletion
from stackl_flow.jobboards.events import Event, EventWriter
from stackl_flow.jobboards.keys import BoardKeys
from stackl_flow.jobboards.maintenance import Maintenance, QueuePolicy
from stackl_flow.jobboards.queries import Queries
from stackl_flow.jobboards.record import (
    CLAIMED,
    CONSUMED,
    SCHEDULED,
    TRASHED,
    UNSTARTED,
    WAITING,
    JobRecord,
    JobSnapshot,
    state_of_outcome,
)
from stackl_flow.jobboards.transactions import ClaimedJob, Writes
from stackl_flow.kv.items import ABSENT

_LOG = redaction.get_logger(__name__)


def check_owner(owner: object) -> None:
    """Check the name of an owner.

    Raises:
        TypeError: it is not a string.
        ValueError: it is empty.
    """
    if not isinstance(owner, str):
        raise TypeError(f"the owner of a claim is a name (str), not {type(owner).__name__}")
    if not owner:
        raise ValueError("the name of an owner must not be empty")


def ended_error(job: Job, snapshot: JobSnapshot) -> exc.NotFound:
    """Return the error for a job that has ended."""
    return exc.NotFound(
        f"job '{job.name}' ({job.uuid}) is no longer on the board: it has ended ({snapshot.state})"
    )


def _unclaimable_error(job: Job, snapshot: JobSnapshot) -> exc.StacklFlowError:
    if snapshot.outcome is not None:
        return ended_error(job, snapshot)
    if snapshot.state == SCHEDULED:
        return exc.UnclaimableJob(
            f"job '{job.name}' ({job.uuid}) is scheduled for later and cannot be claimed yet"
        )
    claims = snapshot.record.claims if snapshot.record else ()
    owner = f"'{claims[-1].owner}'" if claims else "another owner"
    return exc.UnclaimableJob(f"job '{job.name}' ({job.uuid}) is already claimed by {owner}")


def _not_owned_error(job: Job, owner: str, actual: str | None) -> exc.JobFailure:
    now = "it is not claimed" if actual is None else f"it is claimed by '{actual}'"
    if actual == owner:
        now = "that claim was lost, and the job was claimed again under the same name"
    return exc.JobFailure(
        f"'{owner}' does not own job '{job.name}' ({job.uuid}): {now}; leave it to its owner, or claim it"
    )


class Claims:
    """The claims made through one board object."""

    def __init__(
        self,
        keys: BoardKeys,
        queries: Queries,
        writer: EventWriter,
        leases: Leases,
        policy: QueuePolicy,
        clock: Clock,
        maintenance: Maintenance,
    ) -> None:
        self.leases = leases
        self._keys = keys
        self._queries = queries
        self._writer = writer
        self._policy = policy
        self._clock = clock
        self._maintenance = maintenance
        #: Fencing token and lease of each claim, by uuid of the job and owner.
        self._held: dict[tuple[str, str], tuple[int, str]] = {}
        #: Claims of which it is unknown whether they were made, because the store failed.
        self._uncertain: list[tuple[Job, str]] = []

    # ------------------------------------------------------------- making a claim

    def claim(self, job: Job, owner: str) -> Job:
        """Claim a job; see ``JobBoard.claim``."""
        check_owner(owner)
        for _ in range(2):  # a lease may have expired unnoticed; a job that was read long ago may wait again
            if job.version:
                snapshot = JobSnapshot(WAITING, job.record, job.version)
            else:
                snapshot = self._queries.find(job.uuid)
            if snapshot.state != WAITING or snapshot.record is None:
                raise _unclaimable_error(job, snapshot)
            if self.has_expired(snapshot.record):
                self._maintenance.run()
                break
            claimed = snapshot.record.with_claim(owner, self.leases.get(owner).id, self._clock.now())
            try:
                token = self._writer.write(*self.claim_writes(claimed, snapshot.version))
            except exc.Conflict:
                self.leases.check(owner)
                job.version = 0
            except exc.StorageFailure:
                self.add_uncertain(job, owner)
                raise
            else:
                return self.add(job, claimed, owner, token)
        raise _unclaimable_error(job, self._queries.find(job.uuid))

    def claim_writes(self, claimed: JobRecord, version: int) -> tuple[list[Event], Writes]:
        """Return the events and the writes of a claim, the record's last; ``version`` is that of the item."""
        return [(events.CLAIMED, claimed)], transactions.claim(self._keys, claimed, version)

    def now(self) -> float:
        """Return the board's time, in seconds since 1970 UTC."""
        return self._clock.now()

    def has_expired(self, record: JobRecord) -> bool:
        """Return whether a waiting job has expired."""
        return record.expires_at is not None and record.expires_at <= self._clock.now()

    def add(self, job: Job, claimed: JobRecord, owner: str, token: int) -> Job:
        """Remember a claim that was made, and update the job object."""
        self._held[job.uuid, owner] = token, claimed.lease
        job.record, job.version, job.fencing_token = claimed, token, token
        return job

    # ------------------------------------------------------------- ending a claim

    def complete(self, completion: JobCompletion, owner: str) -> None:
        """End a claim.

        Raises:
            JobFailure: ``owner`` does not hold the claim.
            NotFound: the job has ended.
        """
        event, writes = self.completion_writes(completion, owner)
        writes = self.with_ended_log(writes, [completion])
        job = completion.job
        if not self._writer.commit([event], writes):
            snapshot = self._queries.find(job.uuid)
            if snapshot.record is None:
                raise ended_error(job, snapshot)
            raise _not_owned_error(job, owner, self._queries.owner(snapshot.record))
        self.remove(job, owner)

    def completion_writes(self, completion: JobCompletion, owner: str) -> tuple[Event, Writes]:
        """Return the event and the writes of a completion, without the log (see ``with_ended_log``).

        Raises:
            JobFailure: ``owner`` does not hold the claim.
            NotFound: the job has ended.
        """
        job, disposition, outcome = completion
        claimed, now = self._read_claimed(job, owner), self._clock.now()
        if disposition == CONSUMED:
            return (events.REMOVAL, job.record), self._consume(claimed, dict(outcome), now)
        if disposition == TRASHED:
            reason = sizes.short_reason(outcome.get("reason") or f"trashed by '{owner}'")
            return (events.REMOVAL, job.record), transactions.trash(self._keys, claimed, reason, now)
        event, writes = self._policy.end_claim(self._keys, claimed, disposition, now)
        return (event, job.record), writes

    def _consume(self, claimed: ClaimedJob, outcome: dict[str, Any], now: float) -> Writes:
        """Return the writes that end a job; an outcome that is too large is replaced by one that says so."""
        writes = transactions.consume(self._keys, claimed, outcome, now)
        limits = self._writer.limits
        if sizes.fits(limits, writes, events.describe([(events.REMOVAL, claimed.record)])):
            return writes
        shorter = sizes.shorter_outcome(outcome, limits)
        record = claimed.record
        _LOG.warning("the outcome of job '%s' (%s): %s", record.name, record.uuid, shorter["too_large"])
        return transactions.consume(self._keys, claimed, shorter, now)

    def with_ended_log(self, writes: Writes, completions: Iterable[JobCompletion]) -> Writes:
        """Return the writes of completions together with the log of the jobs that they end."""
        ended = [
            (state_of_outcome(each.outcome), each.job.record)
            for each in completions
            if each.disposition == CONSUMED
        ]
        if not ended:
            return writes
        log = transactions.log_ended(self._keys, ended, self._clock.now())
        return writes._replace(puts=(*writes.puts, *log))

    def remove(self, job: Job, owner: str) -> None:
        """Forget a claim that has ended."""
        self._held.pop((job.uuid, owner), None)
        job.version = job.fencing_token = 0

    def check_held(self, job: Job, owner: str) -> None:
        """Read from the board whether a claim is held.

        Raises:
            JobFailure: ``owner`` does not hold the claim.
            NotFound: the job has ended.
        """
        job.version = 0
        self._read_claimed(job, owner)

    def _read_claimed(self, job: Job, owner: str) -> ClaimedJob:
        check_owner(owner)
        if job.version and self._held.get((job.uuid, owner), (ABSENT,))[0] == job.version:
            # Claimed through this object: the commit checks the token.
            return ClaimedJob(job.record, job.version, job.record.lease)
        snapshot = self._queries.find(job.uuid)
        if snapshot.record is None:
            raise ended_error(job, snapshot)
        actual, token = self._queries.owner(snapshot.record), snapshot.version
        held = self._held.get((job.uuid, owner), (token,))[0]
        # An owner that lost a claim and made another has two objects for the job; only the later one holds
        # it.
        is_stale = job.fencing_token not in {0, token}
        if snapshot.state != CLAIMED or actual != owner or token != held or is_stale:
            raise _not_owned_error(job, owner, actual)
        return ClaimedJob(snapshot.record, token, snapshot.record.lease)

    # ------------------------------------------------------------- failures

    def add_uncertain(self, job: Job, owner: str) -> None:
        """Remember a claim of which it is unknown whether it was made."""
        job.version = 0
        self._uncertain.append((job, owner))

    def release_uncertain(self) -> None:
        """Give back the jobs that may have been claimed when the store failed."""
        while self._uncertain:
            job, owner = self._uncertain[-1]
            try:
                if (job.uuid, owner) not in self._held:
                    self.complete(JobCompletion(job, UNSTARTED), owner)
            except (exc.JobFailure, exc.NotFound):
                _LOG.debug("'%s' had not claimed %r", owner, job)
            self._uncertain.pop()

    def remove_lost(self, owner: str) -> None:
        """Forget the claims of an owner whose lease expired.

        The notification may be late: claims on a lease that the owner was granted since are valid.
        """
        current = self.leases.current_id(owner)
        for held, (_, lease) in list(self._held.items()):
            if held[1] == owner and lease != current:
                self._held.pop(held, None)

    def held_leases(self) -> set[str]:
        """Return the ids of the leases with which jobs are claimed, or may be."""
        uncertain = {self.leases.current_id(owner) for _, owner in self._uncertain}
        return uncertain | {lease for _, lease in self._held.values()}

    def clear(self) -> None:
        """Forget all claims: their leases were revoked."""
        self._held.clear()
