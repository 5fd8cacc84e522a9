"""What a board is: the verbs, for those who post and those who work, whatever it stands on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final, Protocol, Self

from stackl_flow.coordination.membership import Entity, Presence
from stackl_flow.jobboards.dead_letters import Bin
from stackl_flow.jobboards.job import Ending, Job, JobPriority, Turn
from stackl_flow.jobboards.queries import Found
from stackl_flow.notifier import RestrictedNotifier

POSTED: Final = "POSTED"
CLAIMED: Final = "CLAIMED"
ABANDONED: Final = "ABANDONED"
REMOVAL: Final = "REMOVAL"
EVENTS: Final = (POSTED, CLAIMED, ABANDONED, REMOVAL)


class BoardNotifier(RestrictedNotifier):
    """Tells what happens on a board; somebody has to read its news for that, as soon as anybody listens."""

    def __init__(self) -> None:
        super().__init__(EVENTS)
        #: Called after each registration.
        self.on_listener: Callable[[], None] | None = None

    def register(self, event_type: str, *args: Any, **kwargs: Any) -> None:
        """Ask to be called when an event happens, as with any notifier."""
        super().register(event_type, *args, **kwargs)
        if self.on_listener is not None:
            self.on_listener()


class JobBoard(Protocol):
    """A place where work is posted, claimed, and taken off when it is done.

    Higher priority comes first, the oldest first within one. A claim stands on a lease, which this object
    keeps up while its process lives; who loses it can neither consume nor abandon the job any more.

    Attributes:
        name: the board's name; boards of different names may share a place.
        notifier: tells of POSTED, CLAIMED, ABANDONED and REMOVAL, by whomever; callbacks come from a thread.
        bin: what was trashed.
        presence: who is here.
    """

    name: str
    notifier: BoardNotifier
    bin: Bin
    presence: Presence

    def __enter__(self) -> Self:
        """Connect."""

    def __exit__(self, *_: object) -> None:
        """Close."""

    def connect(self) -> None:
        """Get ready; a board that is connected already stays so.

        Raises:
            JobFailure: the board cannot be reached.
        """

    def close(self) -> None:
        """Leave: every claim made through this object is given up, and others may have the jobs at once."""

    @property
    def connected(self) -> bool:
        """Whether it is ready."""

    def keep_apart(self) -> None:
        """Have the leases kept up by a process of its own, which no task of this one can starve."""

    def on_lost(self, callback: Callable[[str], None]) -> None:
        """Ask to be called when a lease that this object keeps up is lost all the same.

        Args:
            callback: called with the claimer's name, from another thread; asking twice does no more.
        """

    def post(
        self,
        name: str,
        book: Any = None,
        details: Mapping[str, Any] | None = None,
        priority: JobPriority | str = JobPriority.NORMAL,
        *,
        connection: Any = None,
        **terms: Any,
    ) -> Job:
        """Post a job; it is durable when this returns, or with the caller's own transaction.

        With a connection the job appears, and wakes conductors, when the caller commits; if he rolls back it
        was never posted. On SQLite and MariaDB all others who write on the board wait until then: post last.

        Args:
            name: what to call it; need not be unique.
            book: the logbook that goes with it.
            details: what workers need to know; JSON.
            priority: how urgent it is.
            connection: the caller's own connection to the database that the board is in, in a transaction: a
                SQLAlchemy connection or session, or one of sqlite3, psycopg or PyMySQL.
            terms: ``key`` (a second post under it gives the first job again), ``needs`` (abilities that a
                worker has to have), ``not_before`` (seconds since 1970 UTC, or a datetime with its zone),
                ``claim_by`` (the same: trashed if nobody has claimed it by then), ``uuid``.

        Returns:
            The job.

        Raises:
            NotSerializable: the details have no JSON form.
            InvalidFormat: the connection is closed, in no transaction, or leads to another database.
            NotSupported: a connection was given, and the board is in no SQL database.
            JobFailure: the board cannot be written.
        """

    def claim(self, job: Job, who: str) -> Job:
        """Claim a job.

        Args:
            job: which.
            who: the claimer's name; one name is one worker.

        Returns:
            The job as it is now, with this claim.

        Raises:
            UnclaimableJob: somebody has it, or it is not yet to run.
            NotFound: it is not on the board any more.
        """

    def extend(self, job: Job, who: str) -> None:
        """Let a claim last its whole time from now on; this happens by itself while the process lives.

        Args:
            job: which.
            who: the claimer.

        Raises:
            JobFailure: the claim is lost.
        """

    def abandon(self, job: Job, who: str, *, counts: bool = True) -> None:
        """Give a claimed job back for others to claim.

        Args:
            job: which.
            who: the claimer.
            counts: whether this counts towards the number of claims after which a job is quarantined; an
                orderly stop does not.

        Raises:
            JobFailure: somebody else claims it, or nobody.
            NotFound: it is not on the board any more.
        """

    def consume(self, job: Job, who: str, outcome: Mapping[str, Any] | None = None) -> None:
        """Take a job off the board, because it is done.

        Args:
            job: which.
            who: the claimer.
            outcome: what came of it, for those who wait for it: a "result", or a "failure" as a dictionary.

        Raises:
            JobFailure: somebody else claims it, or nobody.
            NotFound: it is not on the board any more.
        """

    def trash(self, job: Job, who: str, reason: str = "") -> None:
        """Take a job off the board because it cannot be done, and keep it to be looked at.

        Args:
            job: which.
            who: the claimer.
            reason: why.

        Raises:
            JobFailure: somebody else claims it, or nobody.
            NotFound: it is not on the board any more.
        """

    def turn(
        self,
        who: str,
        ends: Iterable[Ending] = (),
        want: int = 0,
        can: Collection[str] | None = None,
        timeout: float | None = 0,
    ) -> Turn:
        """End claims and claim the next jobs, in one commit if that can be: for workers with short jobs.

        The jobs are claimed in the order of ``iterjobs``, as many as are there and as fit one commit; one
        whose last claim was lost is claimed by itself. An end that fails does not keep the rest from landing.

        Args:
            who: the claimer.
            ends: how claims of his end.
            want: how many jobs to claim at most.
            can: only jobs that need no other abilities than these.
            timeout: how many seconds to wait for work, if there are no ends to be told; None for ever.

        Returns:
            The claimed jobs, and the ends that came too late.

        Raises:
            StorageFailure: the place failed. Ends may have landed, and are to be told again; claims that
                landed are given back by the next turn.
        """

    def find_owner(self, job: Job) -> str | None:
        """Say who claims a job.

        Args:
            job: which.

        Returns:
            The claimer's name, None if nobody claims it.

        Raises:
            NotFound: it is not on the board any more.
        """

    def iterjobs(
        self,
        only_unclaimed: bool = False,
        ensure_fresh: bool = False,
        can: Collection[str] | None = None,
    ) -> Iterator[Job]:
        """Go over the jobs: higher priority first, oldest first within one.

        Args:
            only_unclaimed: only those that may be claimed now.
            ensure_fresh: no more than a reminder; what is read is always fresh.
            can: only jobs that need no other abilities than these; with ``only_unclaimed``.

        Returns:
            The jobs, read as they are asked for.
        """

    def wait(self, timeout: float | None = None, can: Collection[str] | None = None) -> Iterator[Job]:
        """Wait until there are jobs to be claimed.

        Args:
            timeout: how many seconds to wait at most; None for ever.
            can: only jobs that need no other abilities than these.

        Returns:
            The jobs, as ``iterjobs``; none if the time is over.
        """

    def wait_for(self, job: Job, timeout: float | None = None) -> Found | None:
        """Wait until a job has ended.

        Args:
            job: which.
            timeout: how many seconds to wait at most; None for ever.

        Returns:
            How it ended; None if the time is over.

        Raises:
            NotFound: it ended so long ago that this has been forgotten.
        """

    def look(self, job: Job | str) -> Found:
        """Say where a job stands now.

        Args:
            job: the job, or its uuid.

        Returns:
            Where it stands.

        Raises:
            NotFound: it was never here, or it ended and has been forgotten.
        """

    @property
    def job_count(self) -> int:
        """How many jobs are on the board."""

    def register_entity(self, entity: Entity) -> None:
        """Say who is here; he is struck off when this process ends.

        Args:
            entity: who.
        """
