"""The claims that one board object holds: made and ended one at a time, or as parts of a batch.

Each claim is remembered with its fencing token, so that ending it reads nothing: the commit checks the token.
A claim whose commit was interrupted, or failed so that its outcome is unknown, is in doubt: it is remembered,
too, until the board says whether it was made, and then given back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.clock import SYSTEM, Clock
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

_LOG = redaction.get_logger(__name__)


#: A request whose answer was lost may still be applied later, so a claim in doubt that is not on the board is
#: looked for again after so many seconds, so many times.
_RECHECK_DELAY: Final = 10.0
_RECHECKS: Final = 2


class HeldClaim(NamedTuple):
    """A claim that was made through one board object.

    Attributes:
        job: the job.
        token: fencing token of the claim.
        lease: id of the lease that it depends on.
    """

    job: Job
    token: int
    lease: str


class _ClaimInDoubt(NamedTuple):
    """A claim of which it is unknown whether it was made; ``due`` is when to look for it (monotonic)."""

    job: Job
    owner: str
    lease: str
    due: float = 0.0
    rechecks: int = _RECHECKS


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
        #: By uuid of the job and owner.
        self._held: dict[tuple[str, str], HeldClaim] = {}
        self._uncertain: deque[_ClaimInDoubt] = deque()

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
            except BaseException:  # interrupted, or the store failed
                self.add_uncertain(job, owner, claimed.lease)
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
        self._held[job.uuid, owner] = HeldClaim(job, token, claimed.lease)
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
        token = job.version
        try:
            has_ended = self._writer.commit([event], writes)
        except exc.ValueTooLarge as error:  # the store takes less than it declares
            if completion.disposition != CONSUMED or sizes.is_shorter(completion.outcome):
                raise
            shorter = sizes.shorter_outcome(completion.outcome, self._writer.limits, error.limit)
            self.complete(completion._replace(outcome=shorter), owner)
            return
        if not has_ended:
            snapshot = self._queries.find(job.uuid)
            self._forget(job, owner, token)
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
        reason = str(outcome.get("reason") or "")
        event, writes = self._policy.end_claim(self._keys, claimed, disposition, now, reason)
        return (event, job.record), writes

    def _consume(self, claimed: ClaimedJob, outcome: dict[str, Any], now: float) -> Writes:
        """Return the writes that end a job; an outcome that is too large is replaced by one that says so."""
        writes = transactions.consume(self._keys, claimed, outcome, now)
        limits = self._writer.limits
        if sizes.fits(limits, writes, claimed.record):
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

    def held(self, owner: str) -> list[HeldClaim]:
        """Return the claims that an owner made through this board object and has not ended."""
        return [claim for (_, name), claim in list(self._held.items()) if name == owner]

    def _forget(self, job: Job, owner: str, token: int) -> None:
        """Forget a claim that was lost, unless the owner has made another since."""
        held = self._held.get((job.uuid, owner))
        if held is not None and held.token == token:
            self._held.pop((job.uuid, owner), None)

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
        held = self._held.get((job.uuid, owner))
        if job.version and held is not None and held.token == job.version:
            # Claimed through this object: the commit checks the token.
            return ClaimedJob(job.record, job.version, job.record.lease)
        try:
            snapshot = self._queries.find(job.uuid)
            if snapshot.record is None:
                raise ended_error(job, snapshot)
        except exc.NotFound:
            self._forget(job, owner, job.fencing_token)
            raise
        actual, token = self._queries.owner(snapshot.record), snapshot.version
        # An owner that lost a claim and made another has two objects for the job; only the later one holds
        # it.
        is_stale = job.fencing_token not in {0, token}
        is_other = held is not None and held.token != token
        if snapshot.state != CLAIMED or actual != owner or is_other or is_stale:
            self._forget(job, owner, job.fencing_token)
            raise _not_owned_error(job, owner, actual)
        return ClaimedJob(snapshot.record, token, snapshot.record.lease)

    # ------------------------------------------------------------- failures

    def add_uncertain(self, job: Job, owner: str, lease: str) -> None:
        """Remember a claim of which it is unknown whether it was made, on this lease."""
        job.version = 0
        self._uncertain.append(_ClaimInDoubt(job, owner, lease))

    def release_uncertain(self) -> None:
        """Give back the jobs that may have been claimed when the store failed."""
        for _ in range(len(self._uncertain)):
            try:
                doubt = self._uncertain.popleft()
            except IndexError:  # another thread was faster
                return
            later: _ClaimInDoubt | None = doubt
            try:
                if doubt.due <= SYSTEM.monotonic():
                    later = self._settle(doubt)
            finally:
                if later is not None:
                    self._uncertain.append(later)

    def _settle(self, doubt: _ClaimInDoubt) -> _ClaimInDoubt | None:
        """Give a job back if it was claimed on this very lease; return what to look for later, if it was not.

        Another process may own it under the same name, and this one may have claimed it since.
        """
        job, owner = doubt.job, doubt.owner
        if (job.uuid, owner) in self._held or self.leases.current_id(owner) != doubt.lease:
            return None
        try:
            snapshot = self._queries.find(job.uuid)
        except exc.NotFound:
            return None
        if snapshot.record is None:
            return None
        if snapshot.state != CLAIMED or snapshot.record.lease != doubt.lease:
            due, rechecks = SYSTEM.monotonic() + _RECHECK_DELAY, doubt.rechecks - 1
            return doubt._replace(due=due, rechecks=rechecks) if rechecks >= 0 else None
        claimed = ClaimedJob(snapshot.record, snapshot.version, doubt.lease)
        event, writes = self._policy.end_claim(self._keys, claimed, UNSTARTED, self._clock.now())
        if self._writer.commit([(event, snapshot.record)], writes):
            _LOG.warning("a claim of %r by '%s' had been made when the store failed; released it", job, owner)
        return None

    def remove_lost(self, owner: str) -> None:
        """Forget the claims of an owner whose lease expired.

        The notification may be late: claims on a lease that the owner was granted since are valid.
        """
        current = self.leases.current_id(owner)
        for key, held in list(self._held.items()):
            if key[1] == owner and held.lease != current:
                self._held.pop(key, None)

    def held_leases(self) -> set[str]:
        """Return the ids of the leases with which jobs are claimed, or may be."""
        in_doubt = {each.lease for each in self._uncertain.copy()}
        return in_doubt | {each.lease for each in list(self._held.values())}

    def clear(self) -> None:
        """Forget all claims: their leases were revoked, or belong to the parent of this process."""
        self._held.clear()
        self._uncertain.clear()
