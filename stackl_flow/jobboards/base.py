"""The public interface of job boards: ``Job`` and ``JobBoard``.

A job board is a durable priority queue. Programs post jobs on it; conductors claim them, run their flows and
take them off again. A claim depends on a lease with a fencing token, which a heartbeat extends while the
owner's process lives: the jobs of a process that died become claimable as soon as its lease has expired, and
a late owner can no longer consume, abandon or trash them.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from builtins import list as List  # noqa: N812  inside the class, ``list`` is the method
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol, Self

from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.coordination.membership import Entity, Membership
from stackl_flow.failure import Failure
from stackl_flow.jobboards.dead_letters import DeadLetters
from stackl_flow.jobboards.events import BoardNotifier
from stackl_flow.jobboards.record import (
    CLAIMED,
    DEAD,
    FAILED,
    SCHEDULED,
    SUCCEEDED,
    UNREADABLE,
    WAITING,
    Claim,
    JobPage,
    JobPriority,
    JobRecord,
    JobSnapshot,
    ListedJob,
)
from stackl_flow.jobboards.unreadable import UnreadableEntries

_TASKFLOW_STATES: Final = {
    WAITING: st.UNCLAIMED,
    SCHEDULED: st.UNCLAIMED,
    CLAIMED: st.CLAIMED,
    SUCCEEDED: st.COMPLETE,
    FAILED: st.COMPLETE,
    DEAD: st.COMPLETE,
    UNREADABLE: st.COMPLETE,
}
_NO_OUTCOME: Final[Mapping[str, Any]] = MappingProxyType({})


class LogBookSource(Protocol):
    """Where the logbooks of jobs are read: a persistence backend."""

    def get_connection(self) -> Any:
        """Return a connection, to be used in a ``with``."""
        ...


class Job:
    """One job on a board, as ``JobBoard.post``, ``claim``, ``iterjobs`` and ``get_job`` return it.

    Most attributes are those of the record that was read when the object was made; only ``state``, ``wait``
    and ``result`` ask the board.

    Attributes:
        board: the board that the job is on.
        record: what the board stores of the job.
        version: version of the stored item that the record was read from; 0 if unknown.
        fencing_token: number of the claim that was made through this object; 0 if there was none. It grows
            with each claim of the job; pass it to other systems to have them reject a late owner.
        has_details: whether ``record`` has the details. A job of an event reads them when they are asked for.
    """

    def __init__(
        self, board: JobBoard, record: JobRecord, version: int, logbooks: LogBookSource | None = None
    ) -> None:
        self.board = board
        self.record = record
        self.version = version
        self.fencing_token = 0
        self.has_details = True
        self._logbooks = logbooks
        self._book: Any = None

    @property
    def uuid(self) -> str:
        """Identity of the job, unique on the board."""
        return self.record.uuid

    @property
    def name(self) -> str:
        """Name of the job, for people; need not be unique."""
        return self.record.name

    @property
    def details(self) -> Mapping[str, Any]:
        """Data for the program that runs the job; JSON. A job that has ended has none."""
        if not self.has_details:
            try:
                stored = self.board.get_snapshot(self).record
            except exc.NotFound:
                stored = None
            if stored is not None:
                self.record = dataclasses.replace(self.record, details=stored.details)
            self.has_details = True
        return self.record.details

    @property
    def priority(self) -> JobPriority:
        """Priority of the job."""
        return self.record.priority

    @property
    def created_on(self) -> dt.datetime:
        """When the job was posted, in UTC."""
        return dt.datetime.fromtimestamp(self.record.created_on, dt.UTC)

    @property
    def last_modified(self) -> dt.datetime:
        """When the job was last posted, claimed or abandoned, in UTC, as of the record."""
        return dt.datetime.fromtimestamp(self.record.changed_on, dt.UTC)

    @property
    def claims(self) -> tuple[Claim, ...]:
        """The history of claims, latest last, as of the record."""
        return self.record.claims

    @property
    def state(self) -> str:
        """TaskFlow's state, read from the board now: UNCLAIMED, CLAIMED or COMPLETE.

        ``board.get_snapshot(job).state`` tells more: whether a job is scheduled, succeeded, failed or dead.

        Raises:
            NotFound: the job has ended, and its outcome has expired.
        """
        return _TASKFLOW_STATES[self.board.get_snapshot(self).state]

    @property
    def book_uuid(self) -> str | None:
        """The uuid of the job's logbook, or None."""
        return self.record.book.get("uuid")

    @property
    def book_name(self) -> str | None:
        """The name of the job's logbook, or None."""
        return self.record.book.get("name")

    @property
    def book(self) -> Any:
        """The job's logbook, read once from the board's persistence backend.

        None if the job has no logbook, or the board was made without ``persistence=``.

        Raises:
            NotFound: the backend has no such logbook.
            StorageFailure: the logbook cannot be read.
        """
        if self._book is None and self._logbooks is not None and self.book_uuid is not None:
            with self._logbooks.get_connection() as connection:
                self._book = connection.get_logbook(self.book_uuid)
        return self._book

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the job has ended; the board notifies the waiting thread, it does not poll.

        Args:
            timeout: in seconds; None waits without limit.

        Returns:
            False if the time-out was reached first.

        Raises:
            NotFound: the job has ended, and its outcome has expired.
        """
        return self.board.wait_for(self, timeout) is not None

    def result(self, timeout: float | None = None) -> Any:
        """Wait until the job has ended, and return its result.

        Args:
            timeout: in seconds; None waits without limit.

        Returns:
            The ``"result"`` that its owner gave to ``consume``. For a job that a conductor ran: a dictionary
            of the values that its flow provided.

        Raises:
            JobFailure: the job is a dead letter, or has not ended within the time-out.
            NotFound: the job has ended, and its outcome has expired.
            Exception: the error that made its flow fail.
        """
        ended = self.board.wait_for(self, timeout)
        if ended is None:
            raise exc.JobFailure(f"job '{self.name}' ({self.uuid}) has not ended within {timeout} s")
        outcome: dict[str, Any] = (ended.outcome or {}).get("outcome", {})
        if ended.state in {DEAD, UNREADABLE}:
            kind = "a dead letter" if ended.state == DEAD else ended.state
            raise exc.JobFailure(f"job '{self.name}' ({self.uuid}) is {kind}: {outcome.get('reason')}")
        if outcome.get("failure") is not None:
            Failure.from_dict(outcome["failure"]).reraise()
        return outcome.get("result")

    def __repr__(self) -> str:
        return f"<Job {self.name} {self.priority.value} {self.uuid}>"


class JobCompletion(NamedTuple):
    """How a claim ends; see ``JobBoard.complete_and_claim``.

    Attributes:
        job: a claimed job.
        disposition: what happens to it. ``"consumed"`` and ``"trashed"`` end the job. After all others it
            waits again. ``"abandoned"`` counts towards ``max_claims``; ``"deferred"`` counts, too, and delays
            the next claim, twice as long each time; ``"declined"`` (this owner cannot run it) counts and
            delays only the next claim by this owner; ``"released"`` (graceful shutdown) does not count;
            ``"unstarted"`` removes the claim from the history.
        outcome: for a consumed job its ``"result"`` or its ``"failure"`` (``Failure.to_dict()``); for all
            others the ``"reason"``, if there is one.
    """

    job: Job
    disposition: str
    outcome: Mapping[str, Any] = _NO_OUTCOME


class RejectedCompletion(NamedTuple):
    """A completion that the board did not accept.

    Attributes:
        completion: the completion.
        error: ``NotSerializable`` if the outcome cannot be stored: complete the job with another outcome.
            Otherwise (``JobFailure``, ``NotFound``) the claim is lost.
    """

    completion: JobCompletion
    error: exc.StacklFlowError


class ClaimBatch(NamedTuple):
    """The result of ``JobBoard.complete_and_claim``.

    Attributes:
        jobs: the claimed jobs, in the order of the queue.
        rejected: the completions that were not accepted.
        start_by: start the jobs before this time (``time.monotonic()`` seconds), and give back as
            ``"unstarted"`` those that did not start: claims may expire unnoticed while a process is stopped.
    """

    jobs: tuple[Job, ...] = ()
    rejected: tuple[RejectedCompletion, ...] = ()
    start_by: float = 0.0


class JobBoard(Protocol):
    """A durable queue of jobs, ordered by priority, then by age.

    Make one with ``stackl_flow.jobboards.backends.fetch`` or ``backend``.

    Threads may share a board: every method may be called from any thread. An *owner* is the name of one
    claiming program or thread: do not claim under the same name from two boards at the same time. A child
    made by ``os.fork`` inherits no claims, leases or heartbeat: what it does with the board, closing it
    included, leaves those of its parent alone.

    All durations and time-outs are in seconds. Every method may raise ``StorageFailure`` if the store cannot
    be used; nothing was changed then, unless the method says otherwise.

    Attributes:
        name: name of the board; boards of different names may share a store.
        notifier: calls back on ``POSTED``, ``CLAIMED``, ``ABANDONED`` and ``REMOVAL``, for changes made by
            any process; callbacks run in a thread of the board.
        dead_letters: the jobs that were set aside.
        unreadable: the entries that cannot be read, and were set aside.
        membership: the conductors that are connected.
    """

    name: str
    notifier: BoardNotifier
    dead_letters: DeadLetters
    unreadable: UnreadableEntries
    membership: Membership

    def __enter__(self) -> Self:
        """Connect."""

    def __exit__(self, *_: object) -> None:
        """Close."""

    def connect(self) -> None:
        """Connect to the store; has no effect on a connected board.

        Raises:
            StorageFailure: the store cannot be used.
        """

    def close(self) -> None:
        """Revoke all leases, so that others can claim the jobs immediately, and close the store."""

    @property
    def connected(self) -> bool:
        """Whether the board is connected."""

    def use_heartbeat_process(self) -> None:
        """Extend the leases from a separate process, which a task that holds the GIL cannot starve.

        Has no effect on a board that no other process can open, such as ``memory://``.
        """

    def on_lease_lost(self, callback: Callable[[str], None]) -> None:
        """Register a callback for leases that expired, and with them every claim of that owner.

        Args:
            callback: called with the name of the owner, from a thread of the board; registered at most once.
        """

    def post(
        self,
        name: str,
        book: Any = None,
        details: Mapping[str, Any] | None = None,
        priority: JobPriority | str = JobPriority.NORMAL,
        *,
        connection: Any = None,
        **options: Any,
    ) -> Job:
        """Post a job. It is durable when this returns, or when the caller's transaction commits.

        To store a flow and post it, use ``stackl_flow.submission.post_flow``.

        With ``connection`` the job becomes visible, and conductors are notified, when the caller commits;
        after a rollback it was never posted. On SQLite and MariaDB other writers of the board wait until
        then: post last.

        Args:
            name: name of the job, for people; need not be unique. Not empty, without control characters.
            book: the logbook that goes with it.
            details: data for the program that runs the job; JSON.
            priority: the higher, the sooner it is claimed.
            connection: the caller's connection to the database that the board is in, in a transaction: a
                SQLAlchemy connection or session, or a connection of sqlite3, psycopg or PyMySQL.
            options: ``key`` (idempotency key: another post under it returns the first job);
                ``required_capabilities`` (names; only a conductor with all of them claims the job);
                ``not_before`` and ``expires_at`` (seconds since 1970 UTC, or a datetime with a time zone: the
                job is not claimed before the first, and becomes a dead letter if it has not been claimed by
                the second); ``uuid``.

        Raises:
            TypeError: the name is no string; an option is unknown or has the wrong type.
            ValueError: the name or the priority is invalid, or a datetime has no time zone.
            NotSerializable: the details have no JSON form.
            InvalidFormat: the connection is closed, not in a transaction, or leads to another database.
            NotSupported: a connection was given, and the board is not in an SQL database.
        """

    def post_many(self, posts: Iterable[Mapping[str, Any]], *, connection: Any = None) -> List[Job]:
        """Post several jobs: for a thousand, this costs a fraction of a thousand calls of ``post``.

        All are checked before any is stored. They are posted by as few commits as the store accepts: if it
        fails in between, the first ones are posted. Pass a ``key`` with each to be able to repeat the call.

        Args:
            posts: for each job the arguments of ``post``, without ``connection``, such as
                ``{"name": "order-1", "details": {"order": 1}, "priority": "HIGH"}``.
            connection: see ``post``.

        Returns:
            The jobs, in that order; one that was posted before under the same ``key`` in place of another.

        Raises:
            TypeError: an argument is missing, unknown or of the wrong type.
            ValueError: a name or a priority is invalid, or a datetime has no time zone.
            NotSerializable: details have no JSON form.
        """

    def claim(self, job: Job, owner: str) -> Job:
        """Claim a job.

        Args:
            job: a waiting job.
            owner: the name under which the job is claimed.

        Returns:
            The same object, with the record and the fencing token of the claim.

        Raises:
            UnclaimableJob: it is already claimed, or ``not_before`` has not been reached.
            NotFound: it has ended.
        """

    def extend(self, job: Job, owner: str) -> None:
        """Extend a claim to its full lease duration; the heartbeat does so anyway while the process lives.

        Raises:
            JobFailure: the claim is lost.
        """

    def abandon(self, job: Job, owner: str, *, counts: bool = True, reason: str = "") -> None:
        """Give a claimed job back, for others to claim.

        Args:
            job: the job.
            owner: the owner of the claim.
            counts: whether this claim counts towards ``max_claims``; pass False in a graceful shutdown.
            reason: why; stored in the history of claims.

        Raises:
            JobFailure: ``owner`` does not hold the claim.
            NotFound: the job has ended.
        """

    def consume(self, job: Job, owner: str, outcome: Mapping[str, Any] | None = None) -> None:
        """End a claimed job.

        Args:
            job: the job.
            owner: the owner of the claim.
            outcome: ``{"result": value}`` or ``{"failure": Failure.to_dict()}``, for ``Job.result``; JSON.

        Raises:
            JobFailure: ``owner`` does not hold the claim.
            NotFound: the job has ended.
            NotSerializable: the outcome has no JSON form.
        """

    def trash(self, job: Job, owner: str, reason: str = "") -> None:
        """Move a claimed job to the dead letters.

        Args:
            job: the job.
            owner: the owner of the claim.
            reason: shown to operators.

        Raises:
            JobFailure: ``owner`` does not hold the claim.
            NotFound: the job has ended.
        """

    def complete_and_claim(
        self,
        owner: str,
        completions: Iterable[JobCompletion] = (),
        limit: int = 0,
        capabilities: Collection[str] | None = None,
        timeout: float | None = 0,
    ) -> ClaimBatch:
        """Complete claimed jobs and claim the next ones, in one commit where possible: for many short jobs.

        Jobs are claimed in the order of ``iterjobs``, as many as are waiting and fit into one commit. A job
        whose last claim was lost is claimed alone. A completion that is rejected does not affect the others.

        Args:
            owner: the name under which jobs are claimed.
            completions: how its claims end.
            limit: maximum number of jobs to claim.
            capabilities: claim only jobs that require no others; None for all jobs.
            timeout: how long to wait for jobs if there are no completions; None waits without limit.

        Raises:
            StorageFailure: the store failed. Completions may have been applied: pass them again. Claims that
                were made all the same are given back by the next call.
        """

    def add_worker(self, owner: str, is_worked_on: Callable[[Job], bool]) -> None:
        """Register a worker that claims jobs through this object.

        Args:
            owner: the name under which it claims them.
            is_worked_on: returns whether it works on a claimed job; called from any thread.
        """

    def remove_worker(self, owner: str, is_worked_on: Callable[[Job], bool]) -> bool:
        """Remove a worker; return whether it was the last one of this name."""

    def idle_claims(self, owner: str) -> list[Job]:
        """Return the jobs that were claimed under a name through this object and that no worker works on."""

    def give_up_lease(self, owner: str) -> None:
        """Extend the lease of an owner no longer, and revoke it if the store can be reached.

        All claims of the owner end with it, at the latest when it expires.
        """

    def settle_claims(self) -> None:
        """Give back the jobs of claims in doubt: claims that were interrupted, or reported as failed.

        ``complete_and_claim``, ``iterjobs`` and ``wait`` do so, too.
        """

    def find_owner(self, job: Job) -> str | None:
        """Return the owner of a job, or None if it is not claimed.

        Raises:
            NotFound: the job has ended.
        """

    def iterjobs(
        self,
        only_unclaimed: bool = False,
        ensure_fresh: bool = False,
        capabilities: Collection[str] | None = None,
    ) -> Iterator[Job]:
        """Iterate over the jobs: higher priority first, oldest first within a priority.

        Args:
            only_unclaimed: only jobs that can be claimed now.
            ensure_fresh: no effect (TaskFlow's parameter): reads are always fresh.
            capabilities: with ``only_unclaimed``: only jobs that require no others.

        Returns:
            The jobs, read in pages while you iterate.
        """

    def list(
        self,
        states: str | Iterable[str] | None = None,
        *,
        since: float | dt.datetime | None = None,
        until: float | dt.datetime | None = None,
        limit: int = 100,
        after: str = "",
    ) -> JobPage:
        """List jobs for an operator, in pages: a page costs the same on a board of any size.

        Jobs on the board come first, in the order of ``iterjobs``, then scheduled ones, those that are due
        first first; then ended ones, latest first.

        Args:
            states: a state or several: ``"waiting"``, ``"scheduled"``, ``"claimed"``, ``"succeeded"``,
                ``"failed"``, ``"dead"``; None for those on the board, which are the first three.
            since: only jobs that ended, or if they have not ended changed last, at this time or later:
                seconds since 1970 UTC, or a datetime with a time zone.
            until: only jobs that did so at this time or earlier.
            limit: number of jobs in a page.
            after: ``next`` of the page before.

        Raises:
            ValueError: there is no such state, or the limit is not above 0.
        """

    def find(self, identifier: str) -> List[ListedJob]:
        """Find jobs by their name, or by their uuid or its beginning, without reading other jobs.

        Jobs that have ended are found as long as their outcome is kept. At most 50 jobs are returned, of one
        name the latest.
        """

    @property
    def change_count(self) -> int:
        """How often this object has looked at the board because something may have changed.

        While this stays the same, waiting for jobs has cost no reads.
        """

    def wait(
        self, timeout: float | None = None, capabilities: Collection[str] | None = None
    ) -> Iterator[Job]:
        """Wait until there are jobs to claim.

        Args:
            timeout: in seconds; None waits without limit.
            capabilities: only jobs that require no others.

        Returns:
            The jobs, as ``iterjobs``; none after a time-out.
        """

    def wait_for(self, job: Job, timeout: float | None = None) -> JobSnapshot | None:
        """Wait until a job has ended.

        Returns:
            The ended job; None after a time-out.

        Raises:
            NotFound: the job has ended, and its outcome has expired.
        """

    def get_job(self, uuid: str) -> Job:
        """Return a job by its uuid. Of a job that has ended only name and outcome are left.

        Raises:
            NotFound: the job was never posted here, or it has ended, and its outcome has expired.
        """

    def get_snapshot(self, job: Job | str) -> JobSnapshot:
        """Read a job (or the job of a uuid) from the board now: its state, its record, its outcome.

        Raises:
            NotFound: the job was never posted here, or it has ended, and its outcome has expired.
        """

    @property
    def job_count(self) -> int:
        """The number of jobs on the board: waiting, scheduled and claimed."""

    def board_names(self) -> List[str]:
        """Return the names of all boards in the same store that jobs were posted on."""

    def register_entity(self, entity: Entity) -> None:
        """Register a member, such as a conductor, until the lease of its name ends."""
