"""TaskFlow's `taskflow.conductors.backends.impl_executor`: the base class of its conductors."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.compat import engines
from stackl_flow.compat.conductors import board_adapter
from stackl_flow.compat.types.timing import Timeout, convert_to_timeout
from stackl_flow.compat.utils.threading_utils import get_optimal_thread_count
from stackl_flow.conductors import conductor
from stackl_flow.conductors.job_runner import (
    EVENT_OF_DISPOSITION,
    NOT_THE_FLOWS,
    Rules,
    RunResult,
    describe,
    failure_of,
)
from stackl_flow.engines.base import Engine
from stackl_flow.failure import Failure
from stackl_flow.jobboards.base import Job, JobBoard
from stackl_flow.jobboards.record import CONSUMED, DEFERRED, LOST, RELEASED, TRASHED
from stackl_flow.listeners.logging import LoggingListener
from stackl_flow.notifier import Notifier
from stackl_flow.persistence.base import Backend


class ExecutorConductor(conductor.Conductor):
    """A conductor with TaskFlow's arguments.

    Args:
        name: the name of the conductor.
        jobboard: the board from which it claims jobs.
        persistence: the backend with the flows of the jobs.
        engine: the kind of engine.
        engine_options: options of the engine.
        wait_timeout: seconds to wait for jobs before checking whether to stop.
        log: the logger for transitions of the flows.
        max_simultaneous_jobs: the maximum number of concurrent jobs; if not positive, chosen by the number of
            processors.

    Raises:
        ValueError: ``wait_timeout`` is not a number.
    """

    ENTITY_KIND: ClassVar[str] = conductor.ENTITY_KIND
    EVENTS_EMITTED: ClassVar[tuple[str, ...]] = tuple(
        event
        for event in conductor.EVENTS
        if event not in {EVENT_OF_DISPOSITION[RELEASED], EVENT_OF_DISPOSITION[LOST]}
    )
    LOG: ClassVar[logging.Logger | None] = None
    MAX_SIMULTANEOUS_JOBS: ClassVar[int] = -1
    NO_CONSUME_EXCEPTIONS: ClassVar[tuple[type[Exception], ...]] = NOT_THE_FLOWS
    REFRESH_PERIODICITY: ClassVar[float] = 30.0
    WAIT_TIMEOUT: ClassVar[float] = conductor.WAIT_TIMEOUT

    def __init__(
        self,
        name: str,
        jobboard: JobBoard,
        persistence: Backend | None = None,
        engine: str | None = None,
        engine_options: Mapping[str, Any] | None = None,
        wait_timeout: float | str | Timeout | None = None,
        log: Any = None,
        max_simultaneous_jobs: int | None = None,
    ) -> None:
        slots = int(self.MAX_SIMULTANEOUS_JOBS if max_simultaneous_jobs is None else max_simultaneous_jobs)
        super().__init__(
            name, board_adapter.adapt(jobboard), persistence, engine, engine_options,
            wait_timeout=convert_to_timeout(wait_timeout, self.WAIT_TIMEOUT).value,
            max_simultaneous_jobs=slots if slots > 0 else get_optimal_thread_count(),
        )  # fmt: skip
        self.notifier = Notifier()  # type: ignore[assignment]  # TaskFlow's notifier accepts any event
        self._name, self._jobboard = name, jobboard
        self._log = log or self.LOG or redaction.get_logger("taskflow.conductors.backends.impl_executor")
        self._is_stopped_for_good = False
        self._results: dict[Future[bool], RunResult] = {}

    def run(self, max_dispatches: int | None = None) -> None:
        """Claim and run jobs until the conductor is stopped, which may have happened before.

        Args:
            max_dispatches: return after this number of jobs; None or a negative number: no limit.
        """
        if not self._is_stopped_for_good:
            super().run(max_dispatches)

    def stop(self) -> None:
        """Stop the conductor for good."""
        self._is_stopped_for_good = True
        super().stop()

    def _rules(self) -> Rules:
        """Return TaskFlow's rules: a job ends with its engine, whatever the state of its flow."""
        return Rules(self._result_of_load_error, self._result_of_taskflow_error, self._are_ignored)

    def _are_ignored(self, failures: Iterable[Failure]) -> bool:
        """Return whether a job is abandoned after these failures; programs may extend the exceptions."""
        checked = [failure.check(*self.NO_CONSUME_EXCEPTIONS) for failure in failures]
        return bool(checked) and all(checked)

    @staticmethod
    def _result_of_load_error(error: BaseException) -> RunResult:
        reason = {"reason": describe(error)}
        # TaskFlow does not end a job for what is not an Exception.
        if isinstance(error, exc.StorageFailure) or not isinstance(error, Exception):
            return RunResult(DEFERRED, reason, error)
        return RunResult(TRASHED, reason, error)

    def _result_of_taskflow_error(self, error: BaseException, engine: Engine) -> RunResult:
        failures = list(error) if isinstance(error, exc.WrappedFailure) else [Failure.from_exception(error)]
        if self._are_ignored(failures) or not isinstance(error, Exception):
            return RunResult(DEFERRED, {"reason": describe(error)}, error)
        outcome = {"state": engine.storage.get_flow_state(), "failure": failure_of(error)}
        return RunResult(CONSUMED, outcome, error)

    def _job_ended(self, job: Job, result: RunResult) -> None:
        future: Future[bool] = Future()
        if result.disposition == TRASHED and result.error is not None:
            future.set_exception(result.error)
        else:
            future.set_result(result.disposition == CONSUMED)
        self._results[future] = result
        try:
            self._on_job_done(job, future)
        except Exception:  # noqa: BLE001  code of the program; the job has ended, and others are to run
            self._log.warning("_on_job_done raised for %r", job, exc_info=True)
        finally:
            del self._results[future]

    def _on_job_done(self, job: Job, fut: Future[bool]) -> None:
        """Handle the completion of a job on the board; may be overridden.

        Args:
            job: the job.
            fut: returns whether the job was consumed, or raises the error for which it was trashed.
        """
        super()._job_ended(job, self._results[fut])

    def _notify(self, event: str, details: dict[str, Any]) -> None:
        # In TaskFlow, every released job is abandoned.
        if event in {EVENT_OF_DISPOSITION[RELEASED], EVENT_OF_DISPOSITION[LOST]}:
            event = EVENT_OF_DISPOSITION[DEFERRED]
        super()._notify(event, details)

    @staticmethod
    def _load_engine(*args: Any, **kwargs: Any) -> Engine:
        """Create an engine of a TaskFlow kind for a stored flow."""
        return engines.load_from_detail(*args, **kwargs)

    def _listeners_from_job(self, job: Job, engine: Engine) -> list[AbstractContextManager[Any]]:
        """Return the listeners of the engine of a job; may be overridden."""
        del job
        return [LoggingListener(engine, log=self._log)]
