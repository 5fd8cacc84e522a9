"""What boards and jobs are to TaskFlow: the classes that a board of somebody else's making stands on."""

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
    """A named piece of work on a board.

    Args:
        board: where it is.
        name: what it is called; need not be unique.
        uuid: its identity; a new one if left out.
        details: what workers need to know.
        backend: where its logbook can be read.
        book: its logbook.
        book_data: name and uuid of its logbook, where the book itself is not at hand.
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
        """How urgent it is."""

    @property
    @abc.abstractmethod
    def created_on(self) -> Any:
        """When it was posted."""

    @property
    @abc.abstractmethod
    def last_modified(self) -> Any:
        """When it was last changed."""

    @property
    def board(self) -> Any:
        """The board it is on."""
        return self._board

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name

    @property
    def uuid(self) -> str:
        """Its identity."""
        return self._uuid

    @property
    def details(self) -> Mapping[str, Any]:
        """What workers need to know."""
        return self._details

    @property
    def book(self) -> Any:
        """Its logbook, read when it is first asked for; None if it has none."""
        if self._book is None and self._backend is not None and self.book_uuid is not None:
            with contextlib.closing(self._backend.get_connection()) as connection:
                self._book = connection.get_logbook(self.book_uuid)
        return self._book

    @property
    def book_uuid(self) -> str | None:
        """The uuid of its logbook, or None."""
        found: str | None = self._book_data.get("uuid") if self._book is None else self._book.uuid
        return found

    @property
    def book_name(self) -> str | None:
        """The name of its logbook, or None."""
        found: str | None = self._book_data.get("name") if self._book is None else self._book.name
        return found

    def wait(
        self,
        timeout: float | None = None,
        delay: float = 0.01,
        delay_multiplier: float = 2.0,
        max_delay: float = 60.0,
        sleep_func: Callable[[float], None] = time.sleep,
    ) -> bool:
        """Wait until the job has ended, by asking for its state now and then.

        Args:
            timeout: how many seconds to wait at most; None for ever.
            delay: seconds before the second question.
            delay_multiplier: by how much longer each further pause is.
            max_delay: the longest pause, in seconds.
            sleep_func: called with seconds to wait.

        Returns:
            False if the time was over first.
        """
        end = None if timeout is None else SYSTEM.monotonic() + timeout
        for pause in generate_delays(delay, max_delay, multiplier=delay_multiplier):
            left = None if end is None else end - SYSTEM.monotonic()
            if left is not None and left <= 0:
                return False
            if self.state == states.COMPLETE:
                return True
            sleep_func(pause if left is None else min(pause, left))
        return False

    def __str__(self) -> str:
        """Show what helps in a log."""
        return told(self)


def told(job: Any) -> str:
    """Show a job as TaskFlow does.

    Args:
        job: the job, of either making.

    Returns:
        Its kind, name, priority, uuid and details.
    """
    return (
        f"{type(job).__name__}: {job.name} (priority={job.priority}, uuid={job.uuid}, details={job.details})"
    )


class JobBoardIterator(Iterator[Any]):
    """Goes over the jobs of a board, which are fetched when the first is asked for.

    Args:
        board: whose jobs these are.
        logger: hears of jobs that cannot be asked for their state.
        board_fetch_func: gives the jobs; called with ``ensure_fresh``.
        board_removal_func: called with a job that turns out to be gone.
        only_unclaimed: whether to leave out those that somebody claims; may be changed before the first.
        ensure_fresh: whether the board is to ask its server first; may be changed before the first.
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
        """Whose jobs these are."""
        return self._board

    def __next__(self) -> Any:
        """Give the next job that is there and, if only those are wanted, that nobody claims."""
        if self._jobs is None:
            found = () if self._fetch is None else self._fetch(ensure_fresh=self.ensure_fresh)
            self._jobs = collections.deque(found)
        wanted = _UNCLAIMED if self.only_unclaimed else _ANY
        while self._jobs:
            job = self._jobs.popleft()
            try:
                if job.state in wanted:
                    return job
            except exc.JobFailure:
                self._logger.warning("job '%s' cannot be asked for its state", job, exc_info=True)
            except exc.NotFound:
                if self._remove is not None:
                    self._remove(job)
        raise StopIteration


class JobBoard(abc.ABC):
    """A place where jobs are posted, claimed and taken off.

    Args:
        name: the board's name.
        conf: its settings.
    """

    def __init__(self, name: str, conf: Mapping[str, Any]) -> None:
        self._name = name
        self._conf = conf

    @property
    def name(self) -> str:
        """The board's name."""
        return self._name

    @property
    @abc.abstractmethod
    def connected(self) -> bool:
        """Whether it can be used."""

    @property
    @abc.abstractmethod
    def job_count(self) -> int:
        """How many jobs are on it, as far as it knows."""

    @abc.abstractmethod
    def connect(self) -> None:
        """Open it."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close it."""

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
        """Claim a job. Raise UnclaimableJob if somebody has it, NotFound if it is gone."""

    @abc.abstractmethod
    def abandon(self, job: Any, who: str) -> None:
        """Give a claimed job back. Raise JobFailure if it is somebody else's, NotFound if it is nobody's."""

    @abc.abstractmethod
    def consume(self, job: Any, who: str) -> None:
        """Take a claimed job off. Raise JobFailure if it is somebody else's, NotFound if it is nobody's."""

    @abc.abstractmethod
    def trash(self, job: Any, who: str) -> None:
        """Put a claimed job away, to be looked at. Raise as ``consume`` does."""

    @abc.abstractmethod
    def find_owner(self, job: Any) -> str | None:
        """Say who claims a job."""

    @abc.abstractmethod
    def iterjobs(self, only_unclaimed: bool = False, ensure_fresh: bool = False) -> Iterator[Any]:
        """Go over the jobs: higher priority first, oldest first within one."""

    @abc.abstractmethod
    def wait(self, timeout: float | None = None) -> Iterator[Any]:
        """Wait until there are jobs, and go over them. Raise NotFound when the time is over."""

    @abc.abstractmethod
    def register_entity(self, entity: Any) -> None:
        """Say who is here."""


class NotifyingJobBoard(JobBoard):
    """A board that tells of POSTED and REMOVAL.

    Args:
        name: the board's name.
        conf: its settings.
    """

    def __init__(self, name: str, conf: Mapping[str, Any]) -> None:
        super().__init__(name, conf)
        self.notifier = Notifier()
