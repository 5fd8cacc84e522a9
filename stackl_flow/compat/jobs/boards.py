"""TaskFlow's jobs and job board, on the job boards of this library."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Final

from stackl_flow import exceptions as exc
from stackl_flow import redaction, states
from stackl_flow.compat.jobs import abstract, board_methods
from stackl_flow.compat.persistence.codecs import to_plain
from stackl_flow.compat.utils.uri import extract_driver_and_conf, merge_uri, parse_uri
from stackl_flow.jobboards import base as jobs
from stackl_flow.jobboards.backends import pop_policy
from stackl_flow.jobboards.base import ClaimBatch, JobCompletion
from stackl_flow.jobboards.board import TTL, KVBoard
from stackl_flow.jobboards.record import JobPriority, JobRecord
from stackl_flow.kv import backends as stores

_LOG: Final = redaction.get_logger(__name__)

#: The name of every board in its store: in TaskFlow the path identifies a board, not its name.
_BOARD_NAME: Final = "default"
#: Default of ``capabilities``, to tell the callers of TaskFlow's method from the conductors of this library.
_NOT_GIVEN: Final[Any] = object()


@functools.total_ordering
class Job(jobs.Job):
    """A job with the further attributes and methods of TaskFlow's jobs."""

    board: Board

    @property
    def state(self) -> str:
        """UNCLAIMED, CLAIMED or COMPLETE, read from the board.

        Raises:
            JobFailure: the board is closed or cannot be reached.
        """
        if not self.board.connected:
            raise exc.JobFailure(f"board '{self.board.name}' of job '{self.name}' is closed: connect it")
        try:
            state = super().state
            # The owner may be dead and its claim not released yet.
            is_lost = state == states.CLAIMED and self.board.find_owner(self) is None
            return states.UNCLAIMED if is_lost else state
        except exc.NotFound:
            return states.COMPLETE  # its outcome has expired
        except exc.StorageFailure as error:
            raise exc.JobFailure(f"cannot read job '{self.name}' ({self.uuid})", error) from error

    def wait(
        self,
        timeout: float | None = None,
        delay: float = 0.01,
        delay_multiplier: float = 2.0,
        max_delay: float = 60.0,
        sleep_func: Callable[[float], None] = time.sleep,
    ) -> bool:
        """Wait until the job is complete; the board notifies, so the arguments for polling have no effect.

        Args:
            timeout: seconds; None waits without limit.
            delay: no effect.
            delay_multiplier: no effect.
            max_delay: no effect.
            sleep_func: no effect.

        Returns:
            False if the timeout expired.
        """
        del delay, delay_multiplier, max_delay, sleep_func
        return super().wait(timeout)

    def expires_in(self) -> float:
        """Return the seconds after which a claim expires if its owner dies now."""
        return self.board.ttl

    def extend_expiry(self, expiry: float) -> bool:
        """Renew the claim; return False if the job is unclaimed. ``expiry`` has no effect."""
        del expiry
        owner = self.board.find_owner(self)
        if owner is None:
            return False
        self.board.extend(self, owner)
        return True

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Job):
            return NotImplemented
        return self.uuid == other.uuid

    def __hash__(self) -> int:
        return hash(self.uuid)

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Job):
            return NotImplemented
        return self._sort_key < other._sort_key

    @property
    def _sort_key(self) -> tuple[int, float, str]:
        return self.priority.rank, self.record.created_on, self.uuid

    def __str__(self) -> str:
        return abstract.format_job(self)


abstract.Job.register(Job)


class Board(KVBoard):
    """A board with TaskFlow's settings.

    Args:
        name: the name of the board.
        conf: settings of the store, in TaskFlow's or this library's form; "ttl" is the lease TTL in seconds.
        client: a client of the server, of which only the address is used.
        persistence: the backend with the logbooks of the jobs.
    """

    #: The name of the plugin, under "board" in the settings.
    KIND: ClassVar[str] = "memory"
    #: The class of its jobs.
    JOB: ClassVar[type[Job]] = Job
    #: TaskFlow's settings that the store supports, others have no effect; None: all.
    SUPPORTED: ClassVar[frozenset[str] | None] = None

    def __init__(
        self,
        name: str,
        conf: Mapping[str, Any] | str | None = None,
        client: Any = None,
        persistence: Any = None,
    ) -> None:
        given = {"board": conf} if isinstance(conf, str) else {"board": self.KIND, **(conf or {})}
        settings = dict(extract_driver_and_conf(given, "board")[1])
        self._conf = dict(settings)
        self._client = client
        self.ttl = float(self._pop_ttl(settings) or TTL)
        policy = pop_policy(settings)
        store = stores.fetch(self._store_settings(settings, client))
        super().__init__(_BOARD_NAME, store, persistence, ttl=self.ttl, policy=policy)
        self.name = name

    def _pop_ttl(self, settings: dict[str, Any]) -> Any:
        """Remove the lease TTL from the settings and return it."""
        return settings.pop("ttl", None)

    def _store_settings(self, settings: dict[str, Any], client: Any) -> dict[str, Any]:
        """Convert TaskFlow's settings to those of the store."""
        if client is not None:
            raise TypeError(f"a board of kind '{self.KIND}' does not take a client")
        return self._supported(settings)

    def _supported(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings that the store supports, without those in the URL."""
        board = settings.get("board", self.KIND)
        url, _, _ = str(settings.get("connection", board)).partition("?")
        in_url = _settings_of_url(url) if "://" in url else {}
        rest = {key: value for key, value in settings.items() if in_url.get(key, _NOT_GIVEN) != value}
        unknown = set() if self.SUPPORTED is None else rest.keys() - self.SUPPORTED
        for key in sorted(unknown - {"board", "connection"}):
            _LOG.debug("setting '%s' has no effect on a board of kind '%s'", key, self.KIND)
        supported = {key: rest[key] for key in rest.keys() - unknown - {"board"}}
        return {**supported, "connection": url}

    def _check_name(self, name: str) -> None:
        """Accept any name, as TaskFlow does."""

    def _make_job(self, record: JobRecord, version: int) -> Job:
        return self.JOB(self, record, version, self._logbooks)

    def post(
        self,
        name: str,
        book: Any = None,
        details: Mapping[str, Any] | None = None,
        priority: JobPriority | str = JobPriority.NORMAL,
        **options: Any,
    ) -> jobs.Job:
        """Post a job; details without a JSON representation are converted to plain values, as in TaskFlow.

        Args:
            name: the name; need not be unique.
            book: the logbook of the job.
            details: data for the conductors.
            priority: the priority.
            options: further options of the job, as for the boards of this library.

        Raises:
            NotSerializable: a detail cannot be converted.
            JobFailure: the board cannot be written.
        """
        try:
            return super().post(name, book, details, priority, **options)
        except exc.NotSerializable:
            return super().post(name, book, to_plain(details), priority, **options)

    def claim(self, job: jobs.Job, who: str, expiry: float | None = None) -> jobs.Job:
        """Claim a job.

        Args:
            job: the job.
            who: the claimer.
            expiry: no effect: a claim lasts while its owner lives, and ``ttl`` seconds longer.

        Raises:
            UnclaimableJob: the job is claimed.
            NotFound: the job is not on the board any more.
        """
        del expiry
        return super().claim(job, who)

    def abandon(self, job: jobs.Job, who: str, *, counts: bool = True, reason: str = "") -> None:
        """Release a claimed job.

        Args:
            job: the job.
            who: the claimer.
            counts: whether the claim counts towards ``max_claims``.
            reason: why; stored in the history of claims.

        Raises:
            JobFailure: another owner claims the job.
            NotFound: the job is unclaimed or not on the board any more.
        """
        self._check_claimed(job)
        super().abandon(job, who, counts=counts, reason=reason)

    def consume(self, job: jobs.Job, who: str, outcome: Mapping[str, Any] | None = None) -> None:
        """Complete a claimed job.

        Args:
            job: the job.
            who: the claimer.
            outcome: the result of the job.

        Raises:
            JobFailure: another owner claims the job.
            NotFound: the job is unclaimed or not on the board any more.
        """
        self._check_claimed(job)
        super().consume(job, who, outcome)

    def find_owner(self, job: jobs.Job) -> str | None:
        """Return the owner of a job; None if it is unclaimed or not on the board any more."""
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
    ) -> _JobIterator:
        """Iterate over the jobs by priority, oldest first within one.

        Args:
            only_unclaimed: skip jobs that cannot be claimed now.
            ensure_fresh: no effect: the jobs are always read from the store.
            capabilities: with ``only_unclaimed``, skip jobs that require other capabilities.
        """
        return _JobIterator(
            self, functools.partial(self._fetch_jobs, capabilities=capabilities), only_unclaimed, ensure_fresh
        )

    def _fetch_jobs(
        self,
        ensure_fresh: bool = False,
        only_unclaimed: bool = False,
        capabilities: Collection[str] | None = None,
    ) -> Iterator[jobs.Job]:
        """Read the jobs; programs replace this method to simulate failures."""
        return super().iterjobs(only_unclaimed, ensure_fresh, capabilities)

    def complete_and_claim(
        self,
        owner: str,
        completions: Iterable[JobCompletion] = (),
        limit: int = 0,
        capabilities: Collection[str] | None = None,
        timeout: float | None = 0,
    ) -> ClaimBatch:
        """End claims and claim jobs in a batch; one by one if a program has overridden TaskFlow's methods."""
        if board_methods.is_overridden(self, _METHODS):
            return board_methods.complete_and_claim(self, owner, completions, limit, timeout)
        return super().complete_and_claim(owner, completions, limit, capabilities, timeout)

    def wait(
        self, timeout: float | None = None, capabilities: Collection[str] | None = _NOT_GIVEN
    ) -> Iterator[jobs.Job]:
        """Wait until there are jobs to claim.

        Args:
            timeout: seconds; None waits without limit.
            capabilities: skip jobs that require other capabilities; passed by the conductors of this library.

        Raises:
            NotFound: the timeout expired, and ``capabilities`` was not passed.
        """
        if capabilities is not _NOT_GIVEN:
            return super().wait(timeout, capabilities)
        available = list(super().wait(timeout))
        if timeout is not None and not available:
            raise exc.NotFound(f"no jobs on board '{self.name}' within {timeout} s")
        return _JobIterator(self, lambda **_: iter(available))


def _settings_of_url(url: str) -> Mapping[str, Any]:
    """Return the settings in a URL."""
    return merge_uri(parse_uri(url), {})


class _JobIterator(abstract.JobBoardIterator):
    """Iterates over the jobs of a board of this library, which filters them itself.

    Args:
        board: the board.
        fetch: returns the jobs; called with ``ensure_fresh`` and ``only_unclaimed``.
        only_unclaimed: may be changed before the first step.
        ensure_fresh: may be changed before the first step.
    """

    def __init__(
        self,
        board: Board,
        fetch: Callable[..., Iterator[jobs.Job]],
        only_unclaimed: bool = False,
        ensure_fresh: bool = False,
    ) -> None:
        super().__init__(board, _LOG, only_unclaimed=only_unclaimed, ensure_fresh=ensure_fresh)
        self._fetch_jobs = fetch
        self._jobs_left: Iterator[jobs.Job] | None = None

    def __next__(self) -> jobs.Job:
        if self._jobs_left is None:
            self._jobs_left = self._fetch_jobs(
                ensure_fresh=self.ensure_fresh, only_unclaimed=self.only_unclaimed
            )
        return next(self._jobs_left)


abstract.NotifyingJobBoard.register(Board)
_METHODS: Final = board_methods.methods_of(Board)
