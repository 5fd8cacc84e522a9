"""Releases the claims of a conductor on which it does not work.

The heartbeat keeps every claim of a living process, also one on which it does not work: the thread that was
to run the job never started or has died, a claim was made although the store reported a failure, or there is
an error in this library. Such a job would be claimed for ever. So a thread compares the claims that were made
under the conductor's name with what it works on, and releases the others after ``rescue_after`` seconds.

It reads nothing from the board while all claims are known: the board object remembers what it claimed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Final

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.clock import SYSTEM
from stackl_flow.jobboards.base import Job, JobBoard

_LOG = redaction.get_logger(__name__)

#: Default of ``rescue_after`` in seconds.
RESCUE_AFTER: Final = 60.0
#: Checks in ``rescue_after``, and the longest and the shortest time between two of them in seconds.
_CHECKS: Final = 4
_MAX_INTERVAL: Final = 15.0
_MIN_INTERVAL: Final = 0.05

#: Seconds to wait for a check that hangs because the board does not answer.
_STOP_TIMEOUT: Final = 5.0

#: Identity of a claim: uuid of the job and fencing token.
_ClaimId = tuple[str, int]


class ClaimMonitor:
    """Watches the claims of one owner. ``start`` and ``stop`` are called in turn, any number of times.

    Args:
        board: the board object through which they were made.
        owner: the owner.
        is_worked_on: returns whether a claimed job is being run, about to be run, or about to be ended.
        release: called with the jobs on which there is no work, and the reason; it ends their claims.
        rescue_after: seconds after which they are released.
    """

    def __init__(
        self,
        board: JobBoard,
        owner: str,
        is_worked_on: Callable[[Job], bool],
        release: Callable[[Iterable[Job], str], None],
        rescue_after: float,
    ) -> None:
        self._board = board
        self._owner = owner
        self._is_worked_on = is_worked_on
        self._release = release
        self._rescue_after = rescue_after
        self._interval = max(_MIN_INTERVAL, min(_MAX_INTERVAL, rescue_after / _CHECKS))
        self._lock = threading.Lock()
        #: Since when there has been no work on a claim.
        self._idle: dict[_ClaimId, float] = {}
        self._before: set[_ClaimId] = set()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Register the owner's work with the board, and watch its claims."""
        self._before = {_id_of(job) for job in self._board.idle_claims(self._owner)}
        self._board.add_worker(self._owner, self._is_worked_on)
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._watch, args=(self._stopped,), name=f"conductor-{self._owner}-claims", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End, and release the claims that are left, except those made before ``start``.

        Their lease is given up if the board cannot be reached: then they end when it expires.
        """
        self._stopped.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(_STOP_TIMEOUT)
        if not self._board.remove_worker(self._owner, self._is_worked_on):
            return  # there is another conductor of this name, which watches them
        try:
            self._board.settle_claims()
            self._release_all(self._left(), "its conductor has ended")
        except exc.StorageFailure as error:
            _LOG.warning("cannot release the claims of conductor '%s': %s", self._owner, error)
        if self._left():
            self._board.give_up_lease(self._owner)
        self._idle.clear()

    def unattended(self) -> list[str]:
        """Return the names of the claimed jobs on which there has been no work for longer than a check."""
        until = SYSTEM.monotonic() - self._interval
        idle = self._board.idle_claims(self._owner)
        with self._lock:
            return [job.name for job in idle if self._idle.get(_id_of(job), until + 1) < until]

    def check(self) -> None:
        """Release the claims on which there has been no work for ``rescue_after`` seconds.

        Raises:
            StorageFailure: the board cannot be used.
        """
        now = SYSTEM.monotonic()
        idle = {_id_of(job): job for job in self._board.idle_claims(self._owner)}
        with self._lock:
            self._idle = {each: self._idle.get(each, now) for each in idle}
            due = [idle[each] for each, since in self._idle.items() if now - since >= self._rescue_after]
        self._release_all(due, f"its conductor did not work on it for {self._rescue_after:g} s")
        self._board.settle_claims()

    def _release_all(self, jobs: list[Job], reason: str) -> None:
        if jobs:
            _LOG.warning("releasing %d claimed jobs: %s: %r", len(jobs), reason, jobs)
            self._release(jobs, reason)

    def _left(self) -> list[Job]:
        return [job for job in self._board.idle_claims(self._owner) if _id_of(job) not in self._before]

    def _watch(self, stopped: threading.Event) -> None:
        while not stopped.wait(self._interval):
            try:
                self.check()
            except exc.StorageFailure as error:
                _LOG.warning("cannot check the claims of conductor '%s': %s", self._owner, error)
            except Exception:  # noqa: BLE001  this thread must not end
                _LOG.exception("cannot check the claims of conductor '%s'", self._owner)


def _id_of(job: Job) -> _ClaimId:
    return job.uuid, job.fencing_token
