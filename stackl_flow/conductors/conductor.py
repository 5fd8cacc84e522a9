"""The conductor: claims jobs that it has slots for, runs their flows, and ends each claim as its flow ended.

Its loop waits for a free slot before it claims, so that no job waits in a queue of its own while another
conductor is idle; only short jobs are claimed ahead (see ``prefetch``). Claims depend on the board's lease:
when that is lost, the flows that run here are suspended, and the flow's owner epoch keeps a late conductor
from writing.
"""

from __future__ import annotations

import contextlib
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
from stackl_flow.conductors.claim_monitor import RESCUE_AFTER, ClaimMonitor
from stackl_flow.conductors.job_runner import (
    EVENT_OF_DISPOSITION,
    JobRun,
    Rules,
    RunResult,
    describe,
    is_interrupt,
    is_of_atoms,
    provided_values,
    result_of_error,
    result_of_flow,
    result_of_load_error,
    result_of_reverted,
)
from stackl_flow.conductors.prefetch import MAX_PREFETCH, ClaimSize, PrefetchBuffer
from stackl_flow.conductors.retention import LogBookRetention
from stackl_flow.coordination.membership import Entity
from stackl_flow.engines.base import Engine, parse_flag
from stackl_flow.engines.factories import AllowList
from stackl_flow.jobboards.base import Job, JobBoard
from stackl_flow.jobboards.record import ABANDONED, CONSUMED, DEFERRED
from stackl_flow.notifier import RestrictedNotifier
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.models import FlowDetail
from stackl_flow.persistence.retention import RetentionPolicy

_LOG = redaction.get_logger(__name__)

ENTITY_KIND: Final = "conductor"
#: What a conductor's notifier emits: the start and the end of each stage of a job, and what happened to it.
EVENTS: Final = (
    *(
        f"{stage}_{end}"
        for stage in ("compilation", "preparation", "validation", "running")
        for end in ("start", "end")
    ),
    *dict.fromkeys(EVENT_OF_DISPOSITION.values()),
)
#: Default seconds to wait for jobs before checking whether to stop.
WAIT_TIMEOUT: Final = 0.5
#: Seconds between two checks for a drain request: made before each job, they would cost as much as a claim.
_DRAIN_CHECK_INTERVAL: Final = 0.25
#: The same while the board has not changed: in case a change was not noticed.
_IDLE_DRAIN_CHECK_INTERVAL: Final = 30.0


class Conductor:
    """Claims jobs from a board and runs their flows, one at a time or several on threads.

    ``run`` blocks until the conductor is stopped; ``stop`` and ``wait`` may be called from any thread, and
    ``stop`` from a signal handler. Run several conductors, in as many processes and on as many machines as
    you like, on one board and one persistence backend: each job is run by one of them, and resumed by another
    if that one dies.

    Args:
        name: the conductor's name, and the owner of its claims: each running conductor needs its own.
        jobboard: where jobs are claimed; ``run`` starts a heartbeat process for its leases.
        persistence: backend in which the flows are stored.
        engine: name of the engine that runs them.
        engine_options: options for the engine.
        wait_timeout: seconds to wait for jobs before checking whether to stop; 0.5 by default.
        max_simultaneous_jobs: maximum number of concurrent jobs; 1 runs them in the thread that calls
            ``run``.
        capabilities: claim only jobs that require no others; None claims all jobs.
        retention: how long the logbooks of consumed jobs, with the histories of their flows, are kept:
            seconds (0 deletes them at once), a ``RetentionPolicy``, or None to keep them. The outcome of a
            job stays on the board. With 0, a logbook with several flows stays.
        prefetch: maximum number of jobs that are claimed at once while jobs are short; 1 claims no job before
            there is a free slot for it.
        rescue_after: seconds after which a claimed job on which the conductor does not work is released; the
            reason is logged and stored in the history of the job.
        factories: the names or patterns of the flow factories that may be imported, such as ``["shop.*"]``;
            None for those in the environment variable ``STACKL_FLOW_FACTORIES``, or all if that is not set.

    Attributes:
        name: the conductor's name.
        notifier: emits ``EVENTS``, with the details ``conductor``, ``job``, and ``engine`` or
            ``persistence``.

    Raises:
        TypeError: the name is not a string.
        ValueError: ``rescue_after`` is not positive.
        NotFound: there is no such engine.
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
        capabilities: Collection[str] | None = None,
        retention: float | RetentionPolicy | None = None,
        prefetch: int = MAX_PREFETCH,
        rescue_after: float = RESCUE_AFTER,
        factories: Collection[str] | None = None,
    ) -> None:
        if not name or type(name) is not str:
            raise TypeError(
                f"the first argument of a conductor is its name, as in Conductor('ann', board), not {name!r}"
            )
        if not float(rescue_after) > 0:
            raise ValueError(f"rescue_after= takes a positive number of seconds, not {rescue_after!r}")
        engines.check_engine(engine or engines.ENGINE_DEFAULT)  # otherwise every job would be trashed for it
        self.name = name
        self.notifier = RestrictedNotifier(EVENTS)
        self._board = jobboard
        self._persistence = persistence
        self._engine = engine or engines.ENGINE_DEFAULT
        self._engine_options = dict(engine_options or {})
        AllowList(factories)  # checks the type
        if factories is not None:
            self._engine_options["factories"] = list(factories)
        self._wait = WAIT_TIMEOUT if wait_timeout is None else float(wait_timeout)
        self._slots = max(1, int(max_simultaneous_jobs))
        self._retention = LogBookRetention(jobboard, persistence, RetentionPolicy.from_value(retention))
        self._stopped = threading.Event()
        self._dead = threading.Event()
        self._dead.set()
        self._drain_checked_at = -math.inf
        self._changes_at_check = -1
        self._is_registered = False
        self._runs: set[JobRun] = set()
        self._changed = threading.Condition()
        self._claim_size = ClaimSize(prefetch)
        self._prefetch = PrefetchBuffer(jobboard, name, capabilities, self._job_ended)
        self._pid = os.getpid()
        self._claim_monitor = ClaimMonitor(
            jobboard, name, self._is_worked_on, self._release_idle, float(rescue_after)
        )

    # ------------------------------------------------------------- connection

    @property
    def conductor(self) -> Entity:
        """The entity that is registered on the board, with host name, process id and number of slots."""
        host, pid = socket.gethostname(), os.getpid()
        return Entity(ENTITY_KIND, self.name, {"hostname": host, "pid": pid, "slots": self._slots})

    def connect(self) -> None:
        """Connect the board; has no effect if it is connected."""
        self._board.connect()

    def close(self) -> None:
        """Close the board, which gives up all claims made through it."""
        self._board.close()

    @property
    def dispatching(self) -> bool:
        """Whether ``run`` is active: waiting for jobs or running some."""
        return not self._dead.is_set()

    @property
    def unattended(self) -> list[str]:
        """Names of claimed jobs on which nothing works; they are released after ``rescue_after``."""
        return self._claim_monitor.unattended() if self.dispatching else []

    @property
    def stopping(self) -> bool:
        """Whether a stop was requested."""
        return self._stopped.is_set()

    # ------------------------------------------------------------- running

    def run(self, max_dispatches: int | None = None) -> None:
        """Claim and run jobs until the conductor is stopped or drained.

        Args:
            max_dispatches: return after this number of jobs; None or a negative number for no limit.

        Raises:
            ConductorFailure: it is already running.
            KeyboardInterrupt: the main thread was interrupted; its claims are released.
        """
        if self.dispatching:
            raise exc.ConductorFailure(f"conductor '{self.name}' is already running")
        limit = None if max_dispatches is None or max_dispatches < 0 else max_dispatches
        self._dead.clear()
        self._pid = os.getpid()
        self._board.on_lease_lost(self._lease_lost)
        self._board.use_heartbeat_process()
        self._claim_monitor.start()
        try:
            self._is_registered = False
            self._register()
            if self._slots == 1:
                self._dispatch(None, limit)
            else:
                with self._executor_factory() as pool:
                    self._dispatch(pool, limit)
        except BaseException:
            self.stop()
            raise
        finally:
            try:
                self._cancel_runs()
                self._prefetch.close(self._stopped, self._wait)
            finally:
                self._claim_monitor.stop()
                self._stopped.clear()  # not at the start: a stop may be requested before run()
                self._dead.set()

    @property
    def running_jobs(self) -> int:
        """How many jobs it runs now."""
        return len(self._runs)

    def stop(self) -> None:
        """Request a graceful shutdown: no more claims, and running flows are suspended at their next atom.

        A stop that is requested before ``run`` makes that return immediately.
        """
        self._stopped.set()
        self._suspend_runs()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until ``run`` has ended and all jobs are handed over.

        Args:
            timeout: in seconds; None waits without limit.

        Returns:
            False if it is still running.
        """
        return self._dead.wait(timeout)

    def _dispatch(self, pool: Executor | None, limit: int | None) -> None:
        """Claim and start jobs while there are free slots, until stopped or at the limit."""
        started = 0
        while not self._stopped.is_set() and (limit is None or started < limit):
            try:
                if self._is_drain_requested():
                    self.stop()
                    break
                self._register()
                self._retention.run()
                job = self._next_job(sys.maxsize if limit is None else limit - started)
            except (exc.JobFailure, exc.StorageFailure) as error:
                _LOG.warning("conductor '%s' cannot claim jobs: %s", self.name, error)
                self._stopped.wait(self._wait)
                continue
            if job is not None:
                started += 1
                self._start(job, pool)
        self._prefetch.end_exchanges()

    def _register(self) -> None:
        """Register on the board, if that is not done; the registration depends on the lease."""
        if not self._is_registered:
            self._is_registered = True  # beforehand: the lease may be lost while it is being done
            try:
                self._board.register_entity(self.conductor)
            except BaseException:
                self._is_registered = False
                raise

    def _is_drain_requested(self) -> bool:
        now, changes = SYSTEM.monotonic(), self._board.change_count
        is_idle = changes == self._changes_at_check and not self._runs
        interval = _IDLE_DRAIN_CHECK_INTERVAL if is_idle else _DRAIN_CHECK_INTERVAL
        if now - self._drain_checked_at < interval:
            return False
        self._drain_checked_at, self._changes_at_check = now, changes
        return self._board.membership.is_drain_requested(self.name)

    def _next_job(self, limit: int) -> Job | None:
        """Wait for a free slot, then for a job, each for ``wait_timeout`` at most."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._runs) < self._slots, self._wait)
            free_slots = self._slots - len(self._runs)
        if free_slots <= 0:
            return None
        job = self._prefetch.pop()
        if job is None:
            self._prefetch.exchange(min(limit, self._claim_size.limit(free_slots)), self._wait)
            job = None if self._stopped.is_set() else self._prefetch.pop()
        return job

    def _start(self, job: Job, pool: Executor | None) -> None:
        run = JobRun(job, self._notify, self._persistence)
        with self._changed:
            self._runs.add(run)
        if self._stopped.is_set():
            run.stop()  # requested since the job was claimed
        if pool is None:
            self._run_job(run)
            return
        try:
            future = pool.submit(self._run_job, run)
        except BaseException as error:
            self._end_unstarted(run, f"it could not be started: {describe(error)}")
            if isinstance(error, Exception):
                _LOG.warning("%r could not be started", job, exc_info=True)
                self._stopped.wait(self._wait)  # there may be too many threads
                return
            raise
        if hasattr(future, "add_done_callback"):
            # An executor that is shut down may drop what it has not started.
            future.add_done_callback(lambda _: self._end_unstarted(run, "its executor did not run it"))

    def _run_job(self, run: JobRun) -> None:
        if not run.begin():
            return
        begun = SYSTEM.monotonic()
        try:
            try:
                result = self._dispatch_job(run)
            except BaseException as error:  # noqa: BLE001  of a subclass; the claim must end
                _LOG.warning("running %r raised %s", run.job, describe(error), exc_info=True)
                result = RunResult(DEFERRED, {"reason": describe(error)}, error)
            if os.getpid() != self._pid:
                _end_forked_child(result.error)
            self._claim_size.record(SYSTEM.monotonic() - begun)
            if result.error is not None:
                event = EVENT_OF_DISPOSITION[result.disposition]
                _LOG.warning("%r: %s: %s", run.job, event, describe(result.error))
            self._prefetch.complete(run.job, result)
            if is_interrupt(result.error) and result.error is not None:
                raise result.error
        finally:
            self._remove_run(run)

    # ------------------------------------------------------------- claims without work

    def _is_worked_on(self, job: Job) -> bool:
        """Return whether a claimed job is being run, or about to be run or ended."""
        with self._changed:
            is_running = any(
                run.job.uuid == job.uuid and run.fencing_token == job.fencing_token and run.is_alive
                for run in self._runs
            )
        return is_running or self._prefetch.contains(job)

    def _release_idle(self, jobs: Iterable[Job], reason: str) -> None:
        """Give back claimed jobs on which there is no work, unless their runs have begun meanwhile."""
        for job in jobs:
            with self._changed:
                runs = [run for run in self._runs if run.job.uuid == job.uuid]
            has_begun = [run for run in runs if not run.cancel()]
            if not has_begun:
                for run in runs:
                    self._remove_run(run)
                self._prefetch.complete(job, RunResult(ABANDONED, {"reason": reason}))
        self._prefetch.try_flush()

    def _end_unstarted(self, run: JobRun, reason: str) -> None:
        """Give back a job that was not started, if it is still to be run."""
        with self._changed:
            is_open = run in self._runs and run.cancel()
            self._runs -= {run} if is_open else set()
        if is_open:
            self._prefetch.complete(run.job, RunResult(ABANDONED, {"reason": reason}))
            self._remove_run(run)

    def _cancel_runs(self) -> None:
        """Give back what was not started; all that was has ended."""
        with self._changed:
            runs = list(self._runs)
        for run in runs:
            self._end_unstarted(run, "its conductor ended before it was started")

    def _remove_run(self, run: JobRun) -> None:
        with self._changed:
            self._runs.discard(run)
            self._changed.notify_all()

    def _lease_lost(self, owner: str) -> None:
        if owner == self.name:
            self._is_registered = False
            self._drain_checked_at = -math.inf  # registering clears a drain request: check before
            self._prefetch.clear()
            self._suspend_runs()

    def _suspend_runs(self) -> None:
        with self._changed:
            runs = list(self._runs)
            self._changed.notify_all()
        for run in runs:
            run.stop()

    # ------------------------------------------------------------- hooks for subclasses, such as those of
    # compat

    def _job_ended(self, job: Job, result: RunResult) -> None:
        """Handle the board's acknowledgement that a claim has ended."""
        if result.disposition == CONSUMED:
            self._retention.job_consumed(job, failed=result.outcome.get("state") != st.SUCCESS)
        event = EVENT_OF_DISPOSITION[result.disposition]
        self._notify(event, {"job": job, "persistence": self._persistence})

    def _notify(self, event: str, details: dict[str, Any]) -> None:
        """Emit one of ``EVENTS``."""
        if self.notifier:
            self.notifier.notify(event, {**details, "conductor": self})

    def _rules(self) -> Rules:
        """Return how errors decide what happens to a job."""
        return Rules(result_of_load_error, self._result_of_run_error)

    def _result_of_run_error(self, error: BaseException, engine: Engine) -> RunResult:
        if os.getpid() != self._pid:  # the store and the job are the parent's
            return RunResult(DEFERRED, {}, error)
        state = self._stored_state(engine)
        never_resolve = parse_flag(engine.options.get("never_resolve", False))
        try:
            if state == st.SUCCESS:  # something failed afterwards, such as a listener
                return result_of_flow(state, provided_values(engine))._replace(error=error)
            if state == st.REVERTED and not is_of_atoms(error):
                failures = engine.storage.get_failures().values()
                if not failures:  # an engine that could not take the flow over has not read them
                    return RunResult(DEFERRED, {"reason": describe(error)}, error)
                return result_of_reverted(failures)._replace(error=error)
        except Exception:  # noqa: BLE001  the first error is the reason
            return RunResult(DEFERRED, {"reason": describe(error)}, error)
        return result_of_error(error, state, never_resolve=never_resolve)

    def _stored_state(self, engine: Engine) -> str | None:
        """Read the state of a flow from its store: an engine that raised may have changed its copy only."""
        try:
            if self._persistence is None:
                return engine.storage.get_flow_state()
            with self._persistence.get_connection() as connection:
                return connection.get_flow_record(engine.storage.flow_uuid).state
        except Exception as error:  # noqa: BLE001  unknown: the next owner of the job reads it
            _LOG.warning("cannot read the state of flow '%s': %s", engine.storage.flow_uuid, describe(error))
            return None

    @staticmethod
    def _load_engine(*args: Any, **kwargs: Any) -> Engine:
        """Make an engine for a stored flow."""
        return engines.load_from_detail(*args, **kwargs)

    # Those that follow have TaskFlow's names.

    def _executor_factory(self) -> Executor:
        """Make the executor for concurrent jobs; it is shut down when ``run`` returns."""
        return ThreadPoolExecutor(self._slots, f"conductor-{self.name}")

    def _dispatch_job(self, run: JobRun) -> RunResult:
        """Run one claimed job."""
        return run.run(self._engine_from_job, self._listeners_from_job, self._rules())

    def _flow_detail_from_job(self, job: Job) -> FlowDetail:
        """Find the flow of a job in its logbook: the one that its details name, or the only one."""
        try:
            book = job.book
        except exc.NotFound as error:
            backend = "" if self._persistence is None else f" in '{self._persistence.name}'"
            raise exc.NotFound(
                f"there is no logbook of job '{job.name}' ({job.uuid}){backend}: start conductors with the"
                " database that the job was posted with, then requeue it (`stackl-flow jobs requeue`)",
                cause=error,
            ) from error
        if book is None:
            raise exc.NotFound(
                f"job '{job.name}' ({job.uuid}) has no logbook: post it with one, as post_flow() does"
            )
        wanted = job.details.get("flow_uuid")
        if wanted is not None:
            found: FlowDetail | None = book.find(wanted)
            if found is None:
                raise exc.NotFound(
                    f"there is no flow '{wanted}' in the logbook of job '{job.name}' ({job.uuid})"
                )
            return found
        flows = list(book)
        if not flows:
            raise exc.NotFound(f"the logbook of job '{job.name}' ({job.uuid}) is empty")
        if len(flows) > 1:
            raise exc.MultipleChoices(
                f"the logbook of job '{job.name}' ({job.uuid}) has {len(flows)} flows: "
                "name one as 'flow_uuid' in the job's details"
            )
        only: FlowDetail = flows[0]
        return only

    def _engine_from_job(self, job: Job) -> Engine:
        """Make the engine for a job's flow."""
        flow_detail = self._flow_detail_from_job(job)
        secrets = redaction.secret_names(job.details) | redaction.secret_names(flow_detail.meta)
        # Redacted from now on, whatever happens to the job; the engine registers the secrets that it holds
        # besides.
        redaction.register(job, redaction.find_values([job.details, flow_detail.meta], secrets))
        store = {**flow_detail.meta.get("store", {}), **job.details.get("store", {})}
        # ``JobRun`` decides whether a reverted flow is reset.
        options = {"reset_reverted": False, **self._engine_options}
        return self._load_engine(
            flow_detail, store, self._persistence, engine=self._engine, secrets=secrets, **options
        )

    def _listeners_from_job(self, job: Job, engine: Engine) -> Iterable[AbstractContextManager[Any]]:  # noqa: ARG002
        """Return listeners for a job's engine; meant to be overridden."""
        return ()


def _end_forked_child(error: BaseException | None) -> None:
    """End a process that a task forked and that came back from it: the job belongs to its parent."""
    code = error.code if isinstance(error, SystemExit) else None if error is None else 1
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
        code = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code if isinstance(code, int) else 0)
