"""A job that answers as TaskFlow's do."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from stackl_flow import exceptions as exc
from stackl_flow import states
from stackl_flow.compat.jobs import abstract
from stackl_flow.jobboards import base as jobs

if TYPE_CHECKING:
    from stackl_flow.compat.jobs.boards import Board


@functools.total_ordering
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
            known = super().state
            # Its owner may be gone, and nobody may have looked for work since, who would free it.
            is_lost = known == states.CLAIMED and self.board.find_owner(self) is None
            return states.UNCLAIMED if is_lost else known
        except exc.NotFound:
            return states.COMPLETE  # it ended so long ago that its outcome has been forgotten
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

    def __eq__(self, other: object) -> bool:
        """Say whether it is the same job, whichever iterator it came from."""
        if not isinstance(other, Job):
            return NotImplemented
        return self.uuid == other.uuid

    def __hash__(self) -> int:
        return hash(self.uuid)

    def __lt__(self, other: object) -> bool:
        """Say whether it comes before another: higher priority first, oldest first within one."""
        if not isinstance(other, Job):
            return NotImplemented
        return self._rank < other._rank

    @property
    def _rank(self) -> tuple[int, float, str]:
        return self.priority.rank, self.record.created_on, self.uuid

    def __str__(self) -> str:
        return abstract.told(self)


abstract.Job.register(Job)
