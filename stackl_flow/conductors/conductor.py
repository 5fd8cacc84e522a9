"""The conductor: looks for jobs, claims what it has room for, and ends each claim as its flow ended.

Its loop asks for room before it claims, so that no job waits in a queue of its own while another conductor
stands idle; only short jobs are claimed some moments ahead (see ``desk``). Claims stand on the board's lease;
where that is lost, the flows that run here are suspended, and the flow's owner epoch keeps a late one from
writing.
"""

from __future__ import annotations

import math
import os
import socket
import sys
import threading
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, Final

from stackl_flow import engines, redaction
from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.clock import SYSTEM
from stackl_flow.conductors.job_runner import Fate, Verdict, Work
from stackl_flow.conductors.prefetch import AHEAD, Desk, Pace
from stackl_flow.conductors.retention import Housekeeper
from stackl_flow.coordination.membership import Entity
from stackl_flow.engines.base import Engine
from stackl_flow.jobboards.base import JobBoard
from stackl_flow.jobboards.job import Job
from stackl_flow.notifier import RestrictedNotifier
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import FlowDetail
from stackl_flow.persistence.retention import RetentionPolicy

_LOG = redaction.get_logger(__name__)

ENTITY_KIND: Final = "conductor"
EVENTS: Final = (
    *(
        f"{stage}_{end}"
        for stage in ("compilation", "preparation", "validation", "running")
        for end in ("start", "end")
    ),
    *(fate.value for fate in Fate),
)
#: Seconds between two looks at whether to stop, while there is nothing to do.
WAIT_TIMEOUT: Final = 0.5
#: Seconds between two questions whether to leave: asked before each job, they would cost as much as a claim.
_ASK_EVERY: Final = 0.25


class Conductor:
    """Runs jobs, one after the other or several at once.

    Args:
        name: what to call it; this is who claims, so each running conductor needs a name of its own.
        jobboard: where jobs are claimed.
        persistence: where their flows are stored.
        engine: which engine runs them; the default one if left out.
        engine_options: options for it.
        wait_timeout: how many seconds to wait for jobs before looking whether to stop.
        max_simultaneous_jobs: how many jobs at once; 1 runs them in the thread that calls ``run``.
        can: what jobs may need of it; None for whatever they need.
        remove_books: whether the logbook of a consumed job is removed, with the history of its flow: True for
            at once, or after so many seconds, or by a ``RetentionPolicy``; what came of the job can be
            asked of the board all the same. At once, a book with several flows stays.
        claims_ahead: how many jobs are claimed at once at most while jobs are short (see ``desk``); 1 claims
            no job before there is room for it.

    Attributes:
        notifier: tells of the stages of each job and of its end (see ``EVENTS``).
    """

    def __init__(
        self,
        name: str,
        jobboard: JobBoard,
        persistence: Backend | None = None,
        engine: str | None = None,
        engine_options: Mapping[str, Any] | None = None,
        *,
        wait_timeout: float | None = None,
        max_simultaneous_jobs: int = 1,
        can: Collection[str] | None = None,
        remove_books: bool | float | RetentionPolicy = False,
        claims_ahead: int = AHEAD,
    ) -> None:
        if not name or type(name) is not str:
            raise TypeError(f"a conductor begins with its name, as in Conductor('ann', board), not {name!r}")
        engines.check_engine(engine or engines.ENGINE_DEFAULT)  # else each job would be trashed for it
        self.name = name
        self.notifier = RestrictedNotifier(EVENTS)
        self._board = jobboard
        self._persistence = persistence
        self._engine = engine or engines.ENGINE_DEFAULT
        self._engine_options = dict(engine_options or {})
        self._wait = WAIT_TIMEOUT if wait_timeout is None else float(wait_timeout)
        self._slots = max(1, int(max_simultaneous_jobs))
        self._house = Housekeeper(jobboard, persistence, RetentionPolicy.from_value(remove_books))
        self._stopped = threading.Event()
        self._dead = threading.Event()
        self._dead.set()
        self._asked = -math.inf
        self._is_known = False
        self._works: set[Work] = set()
        self._changed = threading.Condition()
        self._pace = Pace(claims_ahead)
        self._desk = Desk(jobboard, name, can, self._landed)

    # ------------------------------------------------------------- being there

    @property
    def conductor(self) -> Entity:
        """Who this is, for the board."""
        host, pid = socket.gethostname(), os.getpid()
        return Entity(ENTITY_KIND, self.name, {"hostname": host, "pid": pid, "slots": self._slots})

    def connect(self) -> None:
        """Connect the board, if it is not."""
        self._board.connect()

    def close(self) -> None:
        """Close the board; every claim of this conductor is given up."""
        self._board.close()

    @property
    def dispatching(self) -> bool:
        """Whether it is looking for jobs or running some."""
        return not self._dead.is_set()

    @property
    def stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stopped.is_set()

    # ------------------------------------------------------------- running

    def run(self, max_dispatches: int | None = None) -> None:
        """Claim and run jobs until it is stopped.

        Args:
            max_dispatches: return when so many jobs have been run; None or a negative number for no limit.

        Raises:
            ConductorFailure: it is running already.
        """
        if self.dispatching:
            raise exc.ConductorFailure(f"conductor '{self.name}' is running already")
        limit = None if max_dispatches is None or max_dispatches < 0 else max_dispatches
        self._dead.clear()
        self._board.on_lost(self._lost)
        self._board.keep_apart()
        try:
            self._is_known = False
            self._register()
            if self._slots == 1:
                self._dispatch(None, limit)
            else:
                with self._executor_factory() as pool:
                    self._dispatch(pool, limit)
        finally:
            self._desk.close(self._stopped, self._wait)
            self._stopped.clear()  # not at the start: a stop may be asked for before anything runs
            self._dead.set()

    def stop(self) -> None:
        """Ask it to stop: nothing new is claimed, running flows are suspended at their next atom.

        Asked before ``run``, that returns at once.
        """
        self._stopped.set()
        self._stop_works()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has stopped and every job is handed over.

        Args:
            timeout: how many seconds at most; None for ever.

        Returns:
            False if it still runs.
        """
        return self._dead.wait(timeout)

    def _dispatch(self, pool: Executor | None, limit: int | None) -> None:
        """Claim and begin jobs while there is room, until stopped or at the limit."""
        begun = 0
        while not self._stopped.is_set() and (limit is None or begun < limit):
            try:
                if self._is_drained():
                    self.stop()
                    break
                self._register()
                self._house.sweep()
                job = self._next(sys.maxsize if limit is None else limit - begun)
            except (exc.JobFailure, exc.StorageFailure) as error:
                _LOG.warning("conductor '%s' cannot look for jobs: %s", self.name, error)
                self._stopped.wait(self._wait)
                continue
            if job is not None:
                begun += 1
                self._begin(job, pool)
        self._desk.leave()

    def _register(self) -> None:
        """Have the board know who is here; that goes with a lease."""
        if not self._is_known:
            self._is_known = True  # before it is: a lease may be lost while it is being done
            try:
                self._board.register_entity(self.conductor)
            except BaseException:
                self._is_known = False
                raise

    def _is_drained(self) -> bool:
        """Ask the board now and then whether somebody wants this conductor to stop."""
        now = SYSTEM.monotonic()
        if now - self._asked < _ASK_EVERY:
            return False
        self._asked = now
        return self._board.presence.is_drained(self.name)

    def _next(self, most: int) -> Job | None:
        """Wait a while for room, and for a job to be begun."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._works) < self._slots, self._wait)
            room = self._slots - len(self._works)
        if room <= 0:
            return None
        job = self._desk.next()
        if job is None:
            self._desk.turn(min(most, self._pace.jobs(room)), self._wait)
            job = None if self._stopped.is_set() else self._desk.next()
        return job

    def _begin(self, job: Job, pool: Executor | None) -> None:
        work = Work(job, self._tell, self._persistence)
        with self._changed:
            self._works.add(work)
        if self._stopped.is_set():
            work.stop()  # asked for between the claim and now
        if pool is None:
            self._do(work)
        else:
            pool.submit(self._do, work)

    def _do(self, work: Work) -> None:
        begun = SYSTEM.monotonic()
        try:
            verdict = self._dispatch_job(work)
            self._pace.took(SYSTEM.monotonic() - begun)
            if verdict.error is not None:
                _LOG.warning("%r: %s: %s", work.job, verdict.fate.value, verdict.error)
            self._desk.finished(work.job, verdict)
        finally:
            with self._changed:
                self._works.discard(work)
                self._changed.notify_all()

    def _landed(self, job: Job, verdict: Verdict) -> None:
        """Hear that the board has taken the end of a job."""
        if verdict.fate == Fate.CONSUME:
            self._house.consumed(job, failed=verdict.outcome.get("state") != st.SUCCESS)
        self._tell(verdict.fate.value, {"job": job, "persistence": self._persistence})

    def _tell(self, event: str, details: dict[str, Any]) -> None:
        if self.notifier:
            self.notifier.notify(event, {**details, "conductor": self})

    def _lost(self, who: str) -> None:
        if who == self.name:
            self._is_known = False
            self._asked = -math.inf  # an order to leave is void once it is known again
            self._desk.lost()
            self._stop_works()

    def _stop_works(self) -> None:
        with self._changed:
            works = list(self._works)
            self._changed.notify_all()
        for work in works:
            work.stop()

    # ------------------------------------------------------------- hooks, with TaskFlow's names

    def _executor_factory(self) -> Executor:
        """Make what jobs are submitted to when several run at once; it is shut down when ``run`` returns."""
        return ThreadPoolExecutor(self._slots, f"conductor-{self.name}")

    def _dispatch_job(self, work: Work) -> Verdict:
        """Run one claimed job."""
        return work.do(self._engine_from_job, self._listeners_from_job)

    def _flow_detail_from_job(self, job: Job) -> FlowDetail:
        """Find the flow of a job in its book: the one its details name, or the only one."""
        try:
            book = job.book
        except exc.NotFound as error:
            place = "" if self._persistence is None else f" in '{self._persistence.name}'"
            raise exc.NotFound(
                f"the logbook of job '{job.name}' ({job.uuid}) is not{place}: start conductors on the"
                " database that it was posted with, and put it back, as `stackl-flow jobs requeue` does",
                cause=error,
            ) from error
        if book is None:
            raise exc.NotFound(
                f"job '{job.name}' ({job.uuid}) has no logbook: post it with one, as post_flow does"
            )
        wanted = job.details.get("flow_uuid")
        if wanted is not None:
            found: FlowDetail | None = book.find(wanted)
            if found is None:
                raise exc.NotFound(f"no flow '{wanted}' in the logbook of job '{job.name}' ({job.uuid})")
            return found
        flows = list(book)
        if not flows:
            raise exc.NotFound(f"the logbook of job '{job.name}' ({job.uuid}) has no flow in it")
        if len(flows) > 1:
            raise exc.MultipleChoices(
                f"the logbook of job '{job.name}' ({job.uuid}) has {len(flows)} flows: "
                "name one as 'flow_uuid' in the job's details"
            )
        only: FlowDetail = flows[0]
        return only

    def _engine_from_job(self, job: Job) -> Engine:
        """Get the engine that is to run a job's flow."""
        flow_detail = self._flow_detail_from_job(job)
        secrets = redaction.secret_names(job.details) | redaction.secret_names(flow_detail.meta)
        # From here on, whatever becomes of the job; the engine keeps for itself what it holds besides.
        redaction.register(job, redaction.find_values([job.details, flow_detail.meta], secrets))
        store = {**flow_detail.meta.get("store", {}), **job.details.get("store", {})}
        # See ``Work``: the flow may have ended under this job.
        options = {"reset_reverted": False, **self._engine_options}
        return self._load(
            flow_detail, store, self._persistence, engine=self._engine, secrets=secrets, **options
        )

    @staticmethod
    def _load(*args: Any, **kwargs: Any) -> Engine:
        """Make an engine for a stored flow."""
        return engines.load_from_detail(*args, **kwargs)

    def _listeners_from_job(self, job: Job, engine: Engine) -> Iterable[AbstractContextManager[Any]]:  # noqa: ARG002
        """Get what is to listen to a job's engine; made for being overridden."""
        return ()
