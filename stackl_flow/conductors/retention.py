"""What a conductor puts away: logbooks of consumed jobs, at once or when they have been kept long enough."""

from __future__ import annotations

import itertools
import math
from typing import Final

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.jobboards.base import JobBoard
from stackl_flow.jobboards.job import CONSUMED, Job
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.retention import FinishedLogBook, RetentionPolicy, prune

_LOG = redaction.get_logger(__name__)

#: At most so many books in one go: the next one goes on, and jobs are claimed in between.
_BATCH: Final = 50


class Housekeeper:
    """Removes logbooks of jobs.

    Args:
        board: where the jobs were posted.
        persistence: where their books are; None if nobody knows.
        keep: how long they are kept; None for ever.
    """

    def __init__(self, board: JobBoard, persistence: Backend | None, keep: RetentionPolicy | None) -> None:
        self._board = board
        self._persistence = persistence
        self._keep = keep
        self._due = -math.inf

    def consumed(self, job: Job, *, failed: bool) -> None:
        """Remove the logbook of a job that was consumed just now, unless it is to be kept for a while.

        One that cannot be removed stays; so does one with several flows, which may be of several jobs.

        Args:
            job: the job.
            failed: whether its flow failed.
        """
        keep = self._keep
        if keep is None or self._persistence is None or keep.keep_newest or keep.max_age_of(failed=failed):
            return
        try:
            book = job.book
            if book is not None and len(book) == 1:
                with self._persistence.get_connection() as connection:
                    connection.destroy_logbook(book.uuid)
        except (exc.StorageFailure, exc.NotFound) as error:
            _LOG.warning("the logbook of %r stays: %s", job, error)

    def sweep(self) -> None:
        """Remove, now and then, what has been kept long enough; called often, this hardly costs anything.

        Raises:
            StorageFailure: the place cannot be used.
        """
        keep, persistence = self._keep, self._persistence
        if keep is None or persistence is None or keep == RetentionPolicy():
            return
        clock = persistence.clock
        if clock.monotonic() < self._due:
            return
        gone = list(itertools.islice(prune(persistence, keep, clock.now(), self._is_ours), _BATCH))
        self._due = clock.monotonic() + (0.0 if len(gone) == _BATCH else keep.check_interval)
        if gone:
            _LOG.info("%d logbooks of jobs were removed: they had been kept long enough", len(gone))

    def _is_ours(self, book: FinishedLogBook) -> bool:
        """Say whether a book is of a job that was posted here and has been consumed."""
        if book.job is None:
            return False
        try:
            return self._board.look(book.job).head == CONSUMED
        except exc.NotFound:
            return True  # so long ago that the board has forgotten it
