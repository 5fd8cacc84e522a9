"""TaskFlow's jobs."""

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
