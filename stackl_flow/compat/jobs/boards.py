"""A board that answers as TaskFlow's do; it stands on any place of items."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow.jobboards import job as jobs
from stackl_flow.jobboards.board import TTL, KVBoard
from stackl_flow.jobboards.posting import Posting
from stackl_flow.kv import backends as places

#: Stands for abilities that nobody spoke of: TaskFlow's users know of none.
_UNSAID: Final[Any] = object()


class Job(jobs.Job):
    """A job, with what TaskFlow's jobs know besides."""

    board: Board

    @property
    def state(self) -> str:
        """UNCLAIMED, CLAIMED or COMPLETE, asked of the board now.

        Raises:
            JobFailure: the board is closed, or cannot be reached.
        """
        if not self.board.connected:
            raise exc.JobFailure(f"board '{self.board.name}' of job '{self.name}' is closed: connect it")
        try:
            return super().state
        except exc.StorageFailure as error:
            raise exc.JobFailure(f"cannot ask for job '{self.name}' ({self.uuid})", error) from error

    def wait(
        self,
        timeout: float | None = None,
        delay: float = 0.01,
        delay_multiplier: float = 2.0,
        max_delay: float = 60.0,
        sleep_func: Callable[[float], None] = time.sleep,
    ) -> bool:
        """Wait until the job has ended.

        Args:
            timeout: how many seconds to wait at most; None for ever.
            delay: has no meaning here, as all that follow: the board wakes us, nothing is polled.
            delay_multiplier: see there.
            max_delay: see there.
            sleep_func: see there.

        Returns:
            False if the time was over first.
        """
        del delay, delay_multiplier, max_delay, sleep_func
        return super().wait(timeout)

    def expires_in(self) -> float:
        """Say how many seconds a claim of it lasts if its owner dies now."""
        return self.board.ttl

    def extend_expiry(self, expiry: float) -> bool:
        """Let the claim last its whole time from now on, which happens by itself while its owner lives.

        Args:
            expiry: has no meaning here: every claim on a board lasts equally long.

        Returns:
            False where nobody claims it.
        """
        del expiry
        owner = self.board.find_owner(self)
        if owner is None:
            return False
        self.board.extend(self, owner)
        return True


class Board(KVBoard):
    """A board by TaskFlow's settings.

    Args:
        name: the board's name.
        conf: the place's settings, TaskFlow's or ours; "ttl" is how many seconds a claim outlives its owner.
        client: a client of the server, of which the address is taken.
        persistence: the backend in which the jobs' logbooks are.
    """

    #: What stands under "board" for this kind.
    KIND = "memory"

    def __init__(
        self,
        name: str,
        conf: Mapping[str, Any] | str | None = None,
        client: Any = None,
        persistence: Any = None,
    ) -> None:
        settings = {"board": conf} if isinstance(conf, str) else dict(conf or {})
        self.ttl = float(settings.pop("ttl", TTL))
        place = places.fetch(self._place_of(settings, client))
        super().__init__(name, place, persistence, ttl=self.ttl)

    def _place_of(self, settings: dict[str, Any], client: Any) -> dict[str, Any]:
        """Make our settings of TaskFlow's."""
        if client is not None:
            raise TypeError(f"a board of kind '{self.KIND}' takes no client")
        settings.setdefault("connection", settings.pop("board", self.KIND))
        return settings

    def _job(self, posting: Posting, version: int) -> Job:
        return Job(self, posting, version, self._books)

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

    def _check_claimed(self, job: jobs.Job) -> None:
        if self.find_owner(job) is None:
            raise exc.NotFound(f"job '{job.name}' ({job.uuid}) has no owner: claim it first")

    def wait(self, timeout: float | None = None, can: Collection[str] | None = _UNSAID) -> Iterator[jobs.Job]:
        """Wait until there are jobs to be claimed.

        Args:
            timeout: how many seconds to wait at most; None for ever.
            can: only jobs that need no other abilities than these; our conductors ask so.

        Returns:
            The jobs.

        Raises:
            NotFound: the time is over, and TaskFlow's user asked.
        """
        if can is not _UNSAID:
            return super().wait(timeout, can)
        found = list(super().wait(timeout))
        if timeout is not None and not found:
            raise exc.NotFound(f"no jobs came to board '{self.name}' within {timeout} s")
        return iter(found)
