"""Retention of the logbooks of consumed jobs: conductors delete them at once, or when they are old enough."""

from __future__ import annotations

import itertools
import math
from typing import Final

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.jobboards.base import Job, JobBoard
from stackl_flow.jobboards.record import CONSUMED_STATES
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.retention import FinishedLogBook, RetentionPolicy, prune

_LOG = redaction.get_logger(__name__)

#: Maximum number of logbooks in one run; the next run continues, and jobs are claimed in between.
_BATCH: Final = 50


class LogBookRetention:
    """Deletes logbooks of jobs.

    Args:
        board: where the jobs were posted.
        persistence: where their logbooks are stored; None deletes nothing.
        policy: how long they are kept; None keeps them.
    """

    def __init__(self, board: JobBoard, persistence: Backend | None, policy: RetentionPolicy | None) -> None:
        self._board = board
        self._persistence = persistence
        self._policy = policy
        self._next_run = -math.inf
        #: Uuids of the dead letters, read once in a run, if at all.
        self._dead: frozenset[str] | None = None

    def job_consumed(self, job: Job, *, failed: bool) -> None:
        """Delete the logbook of a job that was just consumed, unless the policy keeps it for a while.

        A logbook that cannot be deleted stays; so does one with several flows, which may belong to several
        jobs.
        """
        policy = self._policy
        if policy is None or self._persistence is None:
            return
        if policy.keep_newest or policy.max_age_of(failed=failed):
            return
        try:
            book = job.book
            if book is not None and len(book) == 1:
                with self._persistence.get_connection() as connection:
                    connection.destroy_logbook(book.uuid)
        except (exc.StorageFailure, exc.NotFound) as error:
            _LOG.warning("cannot delete the logbook of %r: %s", job, error)

    def run(self) -> None:
        """Delete logbooks that are old enough, if it is time to; cheap to call often.

        Raises:
            StorageFailure: the backend cannot be used.
        """
        policy, persistence = self._policy, self._persistence
        if policy is None or persistence is None or policy == RetentionPolicy():
            return
        clock = persistence.clock
        if clock.monotonic() < self._next_run:
            return
        self._dead = None
        pruned = prune(persistence, policy, clock.now(), self._is_consumed_here)
        count = sum(1 for _ in itertools.islice(pruned, _BATCH))
        self._next_run = clock.monotonic() + (0.0 if count == _BATCH else policy.check_interval)
        if count:
            _LOG.info("deleted %d logbooks of jobs by the retention policy", count)

    def _is_consumed_here(self, book: FinishedLogBook) -> bool:
        """Return whether a logbook belongs to a job of this board that was consumed."""
        if book.job is None:
            return False
        try:
            return self._board.get_snapshot(book.job).state in CONSUMED_STATES
        except exc.NotFound:  # so long ago that its outcome has expired; a dead letter can be requeued
            if self._dead is None:
                self._dead = frozenset(record.uuid for record in self._board.dead_letters)
            return book.job not in self._dead
