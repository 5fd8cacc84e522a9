"""Prefetching: jobs that a conductor claimed ahead, and results that the board has not acknowledged yet.

A job that takes less than a millisecond is not worth three requests to a server. So short jobs are claimed
several at a time, and the results of those that were run go to the board together with the next claims (see
``JobBoard.complete_and_claim``). How many are claimed follows from the duration of recent jobs: as many as
run in ``PREFETCH_SECONDS``, and one by one where jobs are longer. When a job takes longer than expected,
nothing waits for it: after ``HOLD_SECONDS`` a thread passes the results on, and gives the prefetched jobs
back as if they had never been claimed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.clock import SYSTEM
from stackl_flow.conductors.job_runner import RunResult, describe, is_interrupt, result_without_outcome
from stackl_flow.jobboards.base import Job, JobBoard, JobCompletion
from stackl_flow.jobboards.record import CONSUMED, LOST, TRASHED, UNSTARTED

_LOG = redaction.get_logger(__name__)

#: Seconds of work that are claimed at once.
PREFETCH_SECONDS: Final = 0.05
#: Seconds for which prefetched jobs and results wait for a job that is running.
HOLD_SECONDS: Final = 0.1
#: Seconds between two attempts to reach a board that cannot be reached.
_RETRY_DELAY: Final = 0.5
#: Default for the maximum number of jobs that are claimed at once.
MAX_PREFETCH: Final = 64


class ClaimSize:
    """Decides how many jobs to claim from how long jobs took: slow ones count at once, quick ones slowly."""

    def __init__(self, maximum: int) -> None:
        self._maximum = max(1, maximum)
        self._seconds = PREFETCH_SECONDS

    def record(self, seconds: float) -> None:
        """Record how long a job took."""
        self._seconds = max(seconds, (self._seconds + seconds) / 2)

    def limit(self, free_slots: int) -> int:
        """Return how many jobs to claim: at least one for each free slot, more if jobs are short."""
        return max(
            free_slots, min(self._maximum, int(free_slots * PREFETCH_SECONDS / max(self._seconds, 1e-6)))
        )


class _Pending(NamedTuple):
    """A completion that the board has not acknowledged; ``result`` is None for a job that was not run."""

    completion: JobCompletion
    result: RunResult | None


class PrefetchBuffer:
    """Passes jobs and their results between a board and a conductor.

    ``exchange`` and ``pop`` are called by the conductor's loop, ``complete`` by whatever thread ran the job.

    Args:
        board: the board.
        owner: the conductor's name.
        capabilities: claim only jobs that require no others; None for all jobs.
        acknowledged: called with each job and result that the board has accepted, and with a result whose
            disposition is ``LOST`` if it has not, because the claim was lost.
        hold: seconds for which prefetched jobs and results wait for a job that is running.
    """

    def __init__(
        self,
        board: JobBoard,
        owner: str,
        capabilities: Collection[str] | None,
        acknowledged: Callable[[Job, RunResult], None],
        hold: float = HOLD_SECONDS,
    ) -> None:
        self._board = board
        self._owner = owner
        self._capabilities = capabilities
        self._acknowledged = acknowledged
        self._hold = hold
        self._ready: deque[Job] = deque()
        self._start_by = 0.0
        self._pending: list[_Pending] = []
        #: What is being passed to the board.
        self._passing: list[_Pending] = []
        self._lock = threading.Lock()
        #: Whether the conductor's loop is going to pass pending results on soon.
        self._exchange_follows = False
        self._exchanges = 0
        self._not_empty = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    # ------------------------------------------------------------- from the board

    def pop(self) -> Job | None:
        """Return the next prefetched job; None if there is none, or if its claim may be lost by now."""
        try:
            job = self._ready.popleft()
        except IndexError:
            return None
        if SYSTEM.monotonic() > self._start_by:
            self._ready.appendleft(job)
            self.return_unstarted()
            return None
        return job

    def exchange(self, limit: int, timeout: float | None) -> None:
        """Pass the pending results to the board, and claim up to ``limit`` jobs.

        Args:
            limit: maximum number of jobs.
            timeout: seconds to wait for jobs if there are no pending results.

        Raises:
            StorageFailure: the board cannot be reached; the results are passed on by the next exchange.
        """
        with self._lock:
            pending = self._take_pending()
            # If it waits for jobs, results that come meanwhile are passed on by the thread that has them.
            self._exchange_follows = bool(pending)
        try:
            self._exchange(pending, limit, timeout)
        finally:
            with self._lock:
                self._exchange_follows = True
        self._exchanges += 1
        if len(self._ready) > 1:
            self._start_flusher()

    def contains(self, job: Job) -> bool:
        """Return whether a claimed job waits here to be run or to be ended."""
        with self._lock:
            ends = [each.completion.job for each in (*self._pending, *self._passing)]
        return any(each is job for each in (*tuple(self._ready), *ends))

    def clear(self) -> None:
        """Forget the prefetched jobs: the lease was lost, and others can claim them."""
        self._ready.clear()

    # ------------------------------------------------------------- to the board

    def complete(self, job: Job, result: RunResult) -> None:
        """Add a result; it goes to the board with the next exchange, or immediately if none follows soon."""
        with self._lock:
            completion = JobCompletion(job, result.disposition, result.outcome)
            self._pending.append(_Pending(completion, result))
            exchange_follows = self._exchange_follows
        if not exchange_follows:
            self.try_flush()

    def return_unstarted(self) -> None:
        """Have all prefetched jobs given back with the next exchange."""
        while True:
            try:
                job = self._ready.popleft()
            except IndexError:
                return
            with self._lock:
                self._pending.append(_Pending(JobCompletion(job, UNSTARTED), None))

    def try_flush(self) -> bool:
        """Pass the pending results to the board; return False if it cannot be reached."""
        with self._lock:
            pending = self._take_pending()
        try:
            if pending:
                self._exchange(pending, 0, 0)
        except exc.StorageFailure as error:
            _LOG.warning("conductor '%s' cannot pass results to the board: %s", self._owner, error)
            return False
        return True

    def close(self, stopped: threading.Event, delay: float) -> None:
        """Pass everything to the board, however long it cannot be reached.

        Claims of jobs that are not running would last as long as this process, so only a stop ends the
        attempts. The claims then expire with their lease, and the next owner resumes the flows from
        their last checkpoints.

        Args:
            stopped: set when a stop is requested.
            delay: seconds between two attempts.
        """
        thread, self._thread = self._thread, None
        if thread is not None:
            self._closing.set()
            self._not_empty.set()
            thread.join()
            self._closing.clear()
        self.return_unstarted()
        while not self.try_flush():
            if stopped.wait(delay):
                break

    def end_exchanges(self) -> None:
        """Note that no exchange follows: from now on each result is passed on immediately."""
        with self._lock:
            self._exchange_follows = False
        self.return_unstarted()
        self.try_flush()

    # ------------------------------------------------------------- internals

    def _take_pending(self) -> list[_Pending]:
        pending, self._pending = self._pending, []
        self._passing += pending
        return pending

    def _exchange(self, pending: list[_Pending], limit: int, timeout: float | None) -> None:
        completions = [each.completion for each in pending]
        try:
            batch = self._board.complete_and_claim(
                self._owner, completions, limit, self._capabilities, timeout
            )
        except BaseException:
            with self._lock:
                self._pending[:0] = pending
            raise
        finally:
            with self._lock:
                self._passing = [each for each in self._passing if each not in pending]
        if batch.jobs:
            self._start_by = min(batch.start_by, SYSTEM.monotonic() + self._hold)
            self._ready.extend(batch.jobs)
        rejected = {each.completion.job.uuid: each.error for each in batch.rejected}
        interrupts: list[BaseException] = []
        for (job, *_), result in pending:
            error = rejected.get(job.uuid)
            if isinstance(error, exc.NotSerializable) and result is not None:
                _LOG.warning("the outcome of %r cannot be stored: %s", job, error)
                self.complete(job, result_without_outcome(result, error))
                continue
            if error is not None and result is not None and self._was_ended(job, result, error):
                error = None
            if error is not None:
                _LOG.warning("conductor '%s' has lost its claim of %r: %s", self._owner, job, error)
            if result is not None:
                end = result if error is None else RunResult(LOST, {}, error)
                interrupts += self._acknowledge(job, end)
        for interrupt in interrupts:
            raise interrupt

    def _was_ended(self, job: Job, result: RunResult, error: BaseException) -> bool:
        """Return whether a rejected result had been stored before, by an exchange whose answer was lost."""
        if not isinstance(error, exc.NotFound) or result.disposition not in {CONSUMED, TRASHED}:
            return False
        try:
            ended, claim = self._board.get_snapshot(job).outcome or {}, job.claims[-1]
        except (exc.StorageFailure, exc.JobFailure, exc.NotFound, AttributeError, IndexError):
            return False  # a board written for TaskFlow may have no snapshots
        return (ended.get("owner"), ended.get("claimed_on")) == (claim.owner, claim.at)

    def _acknowledge(self, job: Job, result: RunResult) -> list[BaseException]:
        """Call back; what that raises affects no other job. Return an interrupt of the program."""
        try:
            self._acknowledged(job, result)
        except BaseException as error:  # noqa: BLE001  code of the program
            _LOG.warning("a callback for the end of %r raised %s", job, describe(error), exc_info=True)
            return [error] if is_interrupt(error) else []
        return []

    def _start_flusher(self) -> None:
        self._not_empty.set()
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._flush_when_held, name=f"conductor-{self._owner}-prefetch", daemon=True
            )
            self._thread.start()

    def _flush_when_held(self) -> None:
        """Empty the buffer when a running job holds it up."""
        delay = self._hold
        while True:
            self._not_empty.wait()
            self._not_empty.clear()
            exchanges = self._exchanges
            if self._closing.wait(delay):
                return
            delay = self._hold
            if self._exchanges == exchanges:
                self.return_unstarted()
                try:
                    delay = self._hold if self.try_flush() else _RETRY_DELAY
                except Exception:  # noqa: BLE001  this thread must not end
                    _LOG.exception("conductor '%s' cannot pass results to the board", self._owner)
                    delay = _RETRY_DELAY
            if self._ready or self._pending:
                self._not_empty.set()
