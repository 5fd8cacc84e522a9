"""A board that answers as TaskFlow's do; it stands on any place of items."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Final

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.compat.jobs import abstract, board_methods
from stackl_flow.compat.jobs.job import Job
from stackl_flow.compat.persistence.codecs import plain
from stackl_flow.compat.utils.uri import extract_driver_and_conf, merge_uri, parse_uri
from stackl_flow.jobboards import base as jobs
from stackl_flow.jobboards.backends import pop_policy
from stackl_flow.jobboards.base import ClaimBatch, Completion
from stackl_flow.jobboards.board import TTL, KVBoard
from stackl_flow.jobboards.record import JobPriority, JobRecord
from stackl_flow.kv import backends as places

_LOG: Final = redaction.get_logger(__name__)

#: What every board is called in its place: to TaskFlow the place is the board, whatever its users call it.
_IN_PLACE: Final = "default"
#: Stands for abilities that nobody spoke of: TaskFlow's users know of none.
_UNSAID: Final[Any] = object()


class Board(KVBoard):
    """A board by TaskFlow's settings.

    Args:
        name: the board's name.
        conf: the place's settings, TaskFlow's or ours; "ttl" is how many seconds a claim outlives its owner.
        client: a client of the server, of which the address is taken.
        persistence: the backend in which the jobs' logbooks are.
    """

    #: What stands under "board" for this kind.
    KIND: ClassVar[str] = "memory"
    #: What its jobs are.
    JOB: ClassVar[type[Job]] = Job
    #: Which of TaskFlow's settings the place takes; None for all there are. Others mean nothing here.
    TAKEN: ClassVar[frozenset[str] | None] = None

    def __init__(
        self,
        name: str,
        conf: Mapping[str, Any] | str | None = None,
        client: Any = None,
        persistence: Any = None,
    ) -> None:
        told = {"board": conf} if isinstance(conf, str) else {"board": self.KIND, **(conf or {})}
        settings = dict(extract_driver_and_conf(told, "board")[1])
        self._conf = dict(settings)
        self._client = client
        self.ttl = float(self._ttl_of(settings) or TTL)
        policy = pop_policy(settings)
        place = places.fetch(self._place_of(settings, client))
        super().__init__(_IN_PLACE, place, persistence, ttl=self.ttl, policy=policy)
        self.name = name

    def _ttl_of(self, settings: dict[str, Any]) -> Any:
        """Take out how many seconds a claim outlives its owner."""
        return settings.pop("ttl", None)

    def _place_of(self, settings: dict[str, Any], client: Any) -> dict[str, Any]:
        """Make our settings of TaskFlow's."""
        if client is not None:
            raise TypeError(f"a board of kind '{self.KIND}' takes no client")
        return self._taken(settings)

    def _taken(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Keep what the place takes, and leave out what stands in the address as well."""
        board = settings.get("board", self.KIND)
        address, _, _ = str(settings.get("connection", board)).partition("?")
        said = _in_address(address) if "://" in address else {}
        rest = {word: value for word, value in settings.items() if said.get(word, _UNSAID) != value}
        unknown = set() if self.TAKEN is None else rest.keys() - self.TAKEN
        for word in sorted(unknown - {"board", "connection"}):
            _LOG.debug("setting '%s' has no effect on a board of kind '%s'", word, self.KIND)
        taken = {word: rest[word] for word in rest.keys() - unknown - {"board"}}
        return {**taken, "connection": address}

    def _make_job(self, record: JobRecord, version: int) -> Job:
        return self.JOB(self, record, version, self._logbooks)

    def post(
        self,
        name: str,
        book: Any = None,
        details: Mapping[str, Any] | None = None,
        priority: JobPriority | str = JobPriority.NORMAL,
        **terms: Any,
    ) -> jobs.Job:
        """Post a job; of details without a JSON form what is nearest is posted, as TaskFlow does.

        Args:
            name: what to call it; need not be unique.
            book: the logbook that goes with it.
            details: what workers need to know.
            priority: how urgent it is.
            terms: as for our own boards.

        Returns:
            The job.

        Raises:
            NotSerializable: nothing plain is near a detail.
            JobFailure: the board cannot be written.
        """
        try:
            return super().post(name, book, details, priority, **terms)
        except exc.NotSerializable:
            return super().post(name, book, plain(details), priority, **terms)

    def claim(self, job: jobs.Job, who: str, expiry: float | None = None) -> jobs.Job:
        """Claim a job.

        Args:
            job: which.
            who: the claimer's name.
            expiry: has no meaning here: a claim lasts while its owner lives, and ``ttl`` seconds longer.

        Returns:
            The job as it is now.

        Raises:
            UnclaimableJob: somebody has it.
            NotFound: it is not on the board any more.
        """
        del expiry
        return super().claim(job, who)

    def abandon(self, job: jobs.Job, who: str, *, counts: bool = True) -> None:
        """Give a claimed job back.

        Args:
            job: which.
            who: the claimer.
            counts: whether this counts towards quarantine.

        Raises:
            JobFailure: somebody else claims it.
            NotFound: nobody claims it, or it is not on the board any more.
        """
        self._check_claimed(job)
        super().abandon(job, who, counts=counts)

    def consume(self, job: jobs.Job, who: str, outcome: Mapping[str, Any] | None = None) -> None:
        """Take a job off the board, because it is done.

        Args:
            job: which.
            who: the claimer.
            outcome: what came of it.

        Raises:
            JobFailure: somebody else claims it.
            NotFound: nobody claims it, or it is not on the board any more.
        """
        self._check_claimed(job)
        super().consume(job, who, outcome)

    def find_owner(self, job: jobs.Job) -> str | None:
        """Say who claims a job.

        Args:
            job: which.

        Returns:
            The claimer's name; None if nobody claims it, or it is not on the board any more.
        """
        try:
            return super().find_owner(job)
        except exc.NotFound:
            return None

    def _check_claimed(self, job: jobs.Job) -> None:
        if self.find_owner(job) is None:
            raise exc.NotFound(f"job '{job.name}' ({job.uuid}) has no owner: claim it first")

    def iterjobs(
        self,
        only_unclaimed: bool = False,
        ensure_fresh: bool = False,
        capabilities: Collection[str] | None = None,
    ) -> _Jobs:
        """Go over the jobs: higher priority first, oldest first within one.

        Args:
            only_unclaimed: only those that may be claimed now.
            ensure_fresh: no more than a reminder; what is read is always fresh.
            capabilities: only jobs that require no others; with ``only_unclaimed``.

        Returns:
            The jobs, read as they are asked for.
        """
        return _Jobs(
            self, functools.partial(self._fetch_jobs, capabilities=capabilities), only_unclaimed, ensure_fresh
        )

    def _fetch_jobs(
        self,
        ensure_fresh: bool = False,
        only_unclaimed: bool = False,
        capabilities: Collection[str] | None = None,
    ) -> Iterator[jobs.Job]:
        """Read the jobs; by this name programs that test what they do without a board have it fail."""
        return super().iterjobs(only_unclaimed, ensure_fresh, capabilities)

    def complete_and_claim(
        self,
        owner: str,
        completions: Iterable[Completion] = (),
        limit: int = 0,
        capabilities: Collection[str] | None = None,
        timeout: float | None = 0,
    ) -> ClaimBatch:
        """End claims and claim jobs, by the single verbs if a program has put others in their place."""
        if board_methods.is_changed(self, _VERBS):
            return board_methods.complete_and_claim(self, owner, completions, limit, timeout)
        return super().complete_and_claim(owner, completions, limit, capabilities, timeout)

    def wait(
        self, timeout: float | None = None, capabilities: Collection[str] | None = _UNSAID
    ) -> Iterator[jobs.Job]:
        """Wait until there are jobs to be claimed.

        Args:
            timeout: how many seconds to wait at most; None for ever.
            capabilities: only jobs that require no others; our conductors ask so.

        Returns:
            The jobs.

        Raises:
            NotFound: the time is over, and TaskFlow's user asked.
        """
        if capabilities is not _UNSAID:
            return super().wait(timeout, capabilities)
        found = list(super().wait(timeout))
        if timeout is not None and not found:
            raise exc.NotFound(f"no jobs came to board '{self.name}' within {timeout} s")
        return _Jobs(self, lambda **_: iter(found))


def _in_address(address: str) -> Mapping[str, Any]:
    """Say what an address tells of the server."""
    return merge_uri(parse_uri(address), {})


class _Jobs(abstract.JobBoardIterator):
    """Goes over the jobs of our board, which knows by itself where each stands.

    Args:
        board: whose jobs these are.
        fetch: gives the jobs; called with ``ensure_fresh`` and ``only_unclaimed``.
        only_unclaimed: may be changed before the first is asked for.
        ensure_fresh: may be changed before the first is asked for.
    """

    def __init__(
        self,
        board: Board,
        fetch: Callable[..., Iterator[jobs.Job]],
        only_unclaimed: bool = False,
        ensure_fresh: bool = False,
    ) -> None:
        super().__init__(board, _LOG, only_unclaimed=only_unclaimed, ensure_fresh=ensure_fresh)
        self._ask = fetch
        self._found: Iterator[jobs.Job] | None = None

    def __next__(self) -> jobs.Job:
        """Give the next job."""
        if self._found is None:
            self._found = self._ask(ensure_fresh=self.ensure_fresh, only_unclaimed=self.only_unclaimed)
        return next(self._found)


abstract.NotifyingJobBoard.register(Board)
_VERBS: Final = board_methods.own(Board)
