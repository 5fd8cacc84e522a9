"""TaskFlow's abstract classes of jobs and boards, for boards that are written for TaskFlow."""

from __future__ import annotations

import abc
import collections
import contextlib
import time
import uuid as uuids
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

from stackl_flow import exceptions as exc
from stackl_flow import states
from stackl_flow.clock import SYSTEM
from stackl_flow.compat.utils.iter_utils import generate_delays
from stackl_flow.jobboards.record import JobPriority
from stackl_flow.notifier import Notifier

_UNCLAIMED: Final = frozenset({states.UNCLAIMED})
_ANY: Final = frozenset({states.UNCLAIMED, states.CLAIMED, states.COMPLETE})


class _Logger(Protocol):
    def warning(self, msg: str, *args: object, exc_info: bool = ...) -> None: ...


class Job(abc.ABC):
    """A named job on a board.

    Args:
        board: the board.
        name: the name; need not be unique.
        uuid: the UUID; a new one by default.
        details: data for the conductors.
        backend: the backend with its logbook.
        book: its logbook.
        book_data: name and uuid of its logbook, if the logbook itself is not available.
    """

    def __init__(
        self,
        board: Any,
        name: str,
        uuid: str | None = None,
        details: Mapping[str, Any] | None = None,
        backend: Any = None,
        book: Any = None,
        book_data: Mapping[str, Any] | None = None,
    ) -> None:
        self._board = board
        self._name = name
        self._uuid = uuid or str(uuids.uuid4())
        self._details = details or {}
        self._backend = backend
        self._book = book
        self._book_data = book_data or {}

    @property
    @abc.abstractmethod
    def state(self) -> str:
        """UNCLAIMED, CLAIMED or COMPLETE."""

    @property
    @abc.abstractmethod
    def priority(self) -> JobPriority:
        """The priority."""

    @property
    @abc.abstractmethod
    def created_on(self) -> Any:
        """When the job was posted."""

    @property
    @abc.abstractmethod
    def last_modified(self) -> Any:
        """The time of the last change."""

    @property
    def board(self) -> Any:
        """The board."""
        return self._board

    @property
    def name(self) -> str:
        """The name."""
        return self._name

    @property
    def uuid(self) -> str:
        """The UUID."""
        return self._uuid

    @property
    def details(self) -> Mapping[str, Any]:
        """The data for the conductors."""
        return self._details

    @property
    def book(self) -> Any:
        """The logbook, read on first access, or None."""
        if self._book is None and self._backend is not None and self.book_uuid is not None:
            with contextlib.closing(self._backend.get_connection()) as connection:
                self._book = connection.get_logbook(self.book_uuid)
        return self._book

    @property
    def book_uuid(self) -> str | None:
        """The UUID of the logbook, or None."""
        uuid: str | None = self._book_data.get("uuid") if self._book is None else self._book.uuid
        return uuid

    @property
    def book_name(self) -> str | None:
        """The name of the logbook, or None."""
        name: str | None = self._book_data.get("name") if self._book is None else self._book.name
        return name

    def wait(
        self,
        timeout: float | None = None,
        delay: float = 0.01,
        delay_multiplier: float = 2.0,
        max_delay: float = 60.0,
        sleep_func: Callable[[float], None] = time.sleep,
    ) -> bool:
        """Wait until the job is complete, by polling its state.

        Args:
            timeout: seconds; None waits without limit.
            delay: seconds before the second poll.
            delay_multiplier: the growth factor of the delay.
            max_delay: the maximum delay in seconds.
            sleep_func: sleeps for a number of seconds.

        Returns:
            False if the timeout expired.
        """
        end = None if timeout is None else SYSTEM.monotonic() + timeout
        for next_delay in generate_delays(delay, max_delay, multiplier=delay_multiplier):
            remaining = None if end is None else end - SYSTEM.monotonic()
            if remaining is not None and remaining <= 0:
                return False
            if self.state == states.COMPLETE:
                return True
            sleep_func(next_delay if remaining is None else min(next_delay, remaining))
        return False

    def __str__(self) -> str:
        return format_job(self)


def format_job(job: Any) -> str:
    """Return the text of a job as in TaskFlow: class, name, priority, UUID and details."""
    return (
        f"{type(job).__name__}: {job.name} (priority={job.priority}, uuid={job.uuid}, details={job.details})"
    )


class JobBoardIterator(Iterator[Any]):
    """Iterates over the jobs of a board, which are fetched at the first step.

    Args:
        board: the board.
        logger: receives warnings about jobs whose state cannot be read.
        board_fetch_func: returns the jobs; called with ``ensure_fresh``.
        board_removal_func: called with a job that does not exist any more.
        only_unclaimed: skip claimed jobs; may be changed before the first step.
        ensure_fresh: let the board read from its server; may be changed before the first step.
    """

    def __init__(
        self,
        board: Any,
        logger: _Logger,
        board_fetch_func: Callable[..., Iterable[Any]] | None = None,
        board_removal_func: Callable[[Any], object] | None = None,
        only_unclaimed: bool = False,
        ensure_fresh: bool = False,
    ) -> None:
        self.only_unclaimed = only_unclaimed
        self.ensure_fresh = ensure_fresh
        self._board = board
        self._logger = logger
        self._fetch = board_fetch_func
        self._remove = board_removal_func
        self._jobs: collections.deque[Any] | None = None

    @property
    def board(self) -> Any:
        """The board."""
        return self._board

    def __next__(self) -> Any:
        """Return the next job that exists and, with ``only_unclaimed``, is unclaimed."""
        if self._jobs is None:
            jobs = () if self._fetch is None else self._fetch(ensure_fresh=self.ensure_fresh)
            self._jobs = collections.deque(jobs)
        wanted_states = _UNCLAIMED if self.only_unclaimed else _ANY
        while self._jobs:
            job = self._jobs.popleft()
            try:
                if job.state in wanted_states:
                    return job
            except exc.JobFailure:
                self._logger.warning("cannot read the state of job '%s'", job, exc_info=True)
            except exc.NotFound:
                if self._remove is not None:
                    self._remove(job)
        raise StopIteration


class JobBoard(abc.ABC):
    """A board on which jobs are posted, claimed and completed.

    Args:
        name: the name of the board.
        conf: its settings.
    """

    def __init__(self, name: str, conf: Mapping[str, Any]) -> None:
        self._name = name
        self._conf = conf

    @property
    def name(self) -> str:
        """The name of the board."""
        return self._name

    @property
    @abc.abstractmethod
    def connected(self) -> bool:
        """Whether the board is connected."""

    @property
    @abc.abstractmethod
    def job_count(self) -> int:
        """The number of jobs on the board, as far as known."""

    @abc.abstractmethod
    def connect(self) -> None:
        """Connect the board."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close the board."""

    @abc.abstractmethod
    def post(
        self,
        name: str,
        book: Any = None,
        details: Mapping[str, Any] | None = None,
        priority: JobPriority = JobPriority.NORMAL,
    ) -> Any:
        """Post a job and return it."""

    @abc.abstractmethod
    def claim(self, job: Any, who: str) -> Any:
        """Claim a job. Raise UnclaimableJob if it is claimed, NotFound if it does not exist."""

    @abc.abstractmethod
    def abandon(self, job: Any, who: str) -> None:
        """Release a claimed job. Raise JobFailure if another owner claims it, NotFound if it is unclaimed."""

    @abc.abstractmethod
    def consume(self, job: Any, who: str) -> None:
        """Complete a claimed job. Raise the errors of `abandon`."""

    @abc.abstractmethod
    def trash(self, job: Any, who: str) -> None:
        """Set a claimed job aside for inspection. Raise the errors of `abandon`."""

    @abc.abstractmethod
    def find_owner(self, job: Any) -> str | None:
        """Return the owner of a job, or None."""

    @abc.abstractmethod
    def iterjobs(self, only_unclaimed: bool = False, ensure_fresh: bool = False) -> Iterator[Any]:
        """Iterate over the jobs by priority, oldest first within one."""

    @abc.abstractmethod
    def wait(self, timeout: float | None = None) -> Iterator[Any]:
        """Wait until there are jobs, and iterate over them. Raise NotFound after the timeout."""

    @abc.abstractmethod
    def register_entity(self, entity: Any) -> None:
        """Register a conductor with the board."""


class NotifyingJobBoard(JobBoard):
    """A board whose ``notifier`` notifies POSTED and REMOVAL.

    Args:
        name: the name of the board.
        conf: its settings.
    """

    def __init__(self, name: str, conf: Mapping[str, Any]) -> None:
        super().__init__(name, conf)
        self.notifier = Notifier()
