"""What a conductor has in hand: jobs that it claimed ahead, and verdicts that the board has not heard yet.

A job that takes less than a millisecond is not worth three trips to a server. So short jobs are claimed
several at a time, and the ends of those that were run go to the board with the next claims, in one turn (see
``JobBoard.turn``). How many are claimed ahead follows from how long jobs took lately: as many as are done in
``SPELL`` seconds, one by one where jobs are longer than that. When a job takes longer than it should, what is
in hand does not wait for it: after ``PATIENCE`` seconds a thread tells the board of what has ended, and gives
the others back as if they had never been claimed.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.clock import SYSTEM
from stackl_flow.conductors import job_runner
from stackl_flow.conductors.job_runner import Fate, Verdict
from stackl_flow.jobboards.base import JobBoard
from stackl_flow.jobboards.job import CONSUMED, DEFERRED, RELEASED, TRASHED, UNBEGUN, Ending, Job

_LOG = redaction.get_logger(__name__)

#: Seconds of work that are claimed at once.
SPELL: Final = 0.05
#: Seconds that others, and the ends of what was run, wait for a job that is running.
PATIENCE: Final = 0.1
#: Seconds between two attempts to reach a board that cannot be reached.
_PAUSE: Final = 0.5
#: How many jobs are claimed at once at most.
AHEAD: Final = 64

_HOW: Final = {
    Fate.CONSUME: CONSUMED,
    Fate.TRASH: TRASHED,
    Fate.ABANDON: DEFERRED,
    Fate.RELEASE: RELEASED,
}


class Pace:
    """Knows how long jobs take: a slow one counts at once, quick ones little by little.

    Args:
        most: how many jobs are claimed at once at most.

    Attributes:
        most: the same, 1 at least.
    """

    def __init__(self, most: int) -> None:
        self.most = max(1, most)
        self._seconds = SPELL

    def took(self, seconds: float) -> None:
        """Hear how long a job took.

        Args:
            seconds: from its beginning to its verdict.
        """
        self._seconds = max(seconds, (self._seconds + seconds) / 2)

    def jobs(self, room: int) -> int:
        """Say how many jobs to have in hand.

        Args:
            room: how many can be begun at once.

        Returns:
            That many, or more if they are short.
        """
        return max(room, min(self.most, int(room * SPELL / max(self._seconds, 1e-6))))


class _End(NamedTuple):
    ending: Ending
    verdict: Verdict | None


class Desk:
    """Passes jobs and their ends between a board and who runs them.

    Args:
        board: the board.
        who: the claimer.
        can: what jobs may need of him; None for whatever they need.
        landed: called with each job and verdict that the board has taken.
        patience: how many seconds what is in hand waits for a job that is running.
    """

    def __init__(
        self,
        board: JobBoard,
        who: str,
        can: Collection[str] | None,
        landed: Callable[[Job, Verdict], None],
        patience: float = PATIENCE,
    ) -> None:
        self._board = board
        self._who = who
        self._can = can
        self._landed = landed
        self._patience = patience
        self._ready: deque[Job] = deque()
        self._begin_by = 0.0
        self._ended: list[_End] = []
        self._lock = threading.Lock()
        self._is_attended = False
        self._turns = 0
        self._in_hand = threading.Event()
        self._closing = threading.Event()
        self._watcher: threading.Thread | None = None

    # ------------------------------------------------------------- from the board

    def next(self) -> Job | None:
        """Take the first of the jobs that were claimed.

        Returns:
            A job to be begun now; None if there is none, or if the claims are so old that they may be lost.
        """
        try:
            job = self._ready.popleft()
        except IndexError:
            return None
        if SYSTEM.monotonic() > self._begin_by:
            self._ready.appendleft(job)
            self.give_back()
            return None
        return job

    def turn(self, want: int, timeout: float | None) -> None:
        """Tell the board what has ended, and claim jobs.

        Args:
            want: how many.
            timeout: how many seconds to wait for work, if nothing has ended.

        Raises:
            StorageFailure: the board cannot be reached; what has ended is told in the next turn.
        """
        with self._lock:
            ends, self._ended = self._ended, []
            self._is_attended = bool(ends)  # else whoever finishes a job meanwhile tells the board himself
        try:
            self._turn(ends, want, timeout)
        finally:
            with self._lock:
                self._is_attended = True
        self._turns += 1
        if len(self._ready) > 1:
            self._watch()

    def lost(self) -> None:
        """Forget the jobs that were claimed: others may have them."""
        self._ready.clear()

    # ------------------------------------------------------------- to the board

    def finished(self, job: Job, verdict: Verdict) -> None:
        """Take what came of a job; the board hears of it with the next turn, or now if none will come soon.

        Args:
            job: the job.
            verdict: what becomes of it.
        """
        with self._lock:
            self._ended.append(_End(Ending(job, _HOW[verdict.fate], verdict.outcome), verdict))
            is_attended = self._is_attended
        if not is_attended:
            self.try_to_hand_over()

    def give_back(self) -> None:
        """Have the jobs that were not begun given back; the board hears of it with the next turn."""
        while True:
            try:
                job = self._ready.popleft()
            except IndexError:
                return
            with self._lock:
                self._ended.append(_End(Ending(job, UNBEGUN), None))

    def try_to_hand_over(self) -> bool:
        """Tell the board what has ended.

        Returns:
            False if it cannot be reached.
        """
        with self._lock:
            ends, self._ended = self._ended, []
        try:
            if ends:
                self._turn(ends, 0, 0)
        except exc.StorageFailure as trouble:
            _LOG.warning("conductor '%s' cannot hand jobs over: %s", self._who, trouble)
            return False
        return True

    def close(self, stopped: threading.Event, pause: float) -> None:
        """Hand over all that is in hand, however long the board cannot be reached.

        A claim that nobody works on would last as long as this process, so only a stop ends the attempts: the
        claim then runs out with its lease, and whoever has the job next goes on from its last checkpoint.

        Args:
            stopped: says that somebody asked for a stop.
            pause: seconds between two attempts.
        """
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            self._closing.set()
            self._in_hand.set()
            watcher.join()
            self._closing.clear()
        self.give_back()
        while not self.try_to_hand_over():
            if stopped.wait(pause):
                break

    def leave(self) -> None:
        """Say that no further turn will come: from now on each end is told by itself."""
        with self._lock:
            self._is_attended = False
        self.give_back()
        self.try_to_hand_over()

    # ------------------------------------------------------------- inside

    def _turn(self, ends: list[_End], want: int, timeout: float | None) -> None:
        try:
            turn = self._board.turn(self._who, [end.ending for end in ends], want, self._can, timeout)
        except BaseException:
            with self._lock:
                self._ended[:0] = ends
            raise
        if turn.claimed:
            self._begin_by = min(turn.until, SYSTEM.monotonic() + self._patience)
            self._ready.extend(turn.claimed)
        late = {late.ending.job.uuid: late.error for late in turn.late}
        for (job, *_), verdict in ends:
            error = late.get(job.uuid)
            if isinstance(error, exc.NotSerializable) and verdict is not None:
                _LOG.warning("the outcome of %r cannot be kept: %s", job, error)
                self.finished(job, job_runner.of_unkept(verdict, error))
            elif error is not None:
                _LOG.warning("conductor '%s' does not hold %r any more: %s", self._who, job, error)
            elif verdict is not None:
                self._landed(job, verdict)

    def _watch(self) -> None:
        self._in_hand.set()
        if self._watcher is None:
            self._watcher = threading.Thread(
                target=self._keep_watch, name=f"conductor-{self._who}-desk", daemon=True
            )
            self._watcher.start()

    def _keep_watch(self) -> None:
        """See that nothing waits long for a job that is running."""
        pause = self._patience
        while True:
            self._in_hand.wait()
            self._in_hand.clear()
            seen = self._turns
            if self._closing.wait(pause):
                return
            pause = self._patience
            if self._turns == seen:
                self.give_back()
                if not self.try_to_hand_over():
                    pause = _PAUSE
            if self._ready or self._ended:
                self._in_hand.set()
