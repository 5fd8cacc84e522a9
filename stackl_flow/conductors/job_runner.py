"""Runs one job: its engine goes through its stages; how its flow ends decides what happens to the job.

A job is consumed only when its flow has ended: in SUCCESS, in REVERTED, or in FAILURE with ``never_resolve``.
After REVERT_FAILURE it is a dead letter, and its rollback goes on when it is requeued. After everything else
it waits again, so that no rollback is lost: a suspended flow is released; an error that is not an atom's own
(of the store, of a decider, of the engine) defers the job; a flow that cannot be loaded here is declined and
left to other conductors.

Whatever a job raises ends in one of these results, ``SystemExit`` and the like included: a claim does not
outlive the work on it.
"""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Final, NamedTuple

from stackl_flow import error_text, redaction
from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.engines.base import Engine
from stackl_flow.error_text import is_a
from stackl_flow.failure import Failure
from stackl_flow.jobboards.base import Job
from stackl_flow.jobboards.record import (
    ABANDONED,
    CONSUMED,
    DECLINED,
    DEFERRED,
    LOST,
    RELEASED,
    TRASHED,
)
from stackl_flow.persistence.base import Backend

_LOG = redaction.get_logger(__name__)

#: Errors of the machine, not of the flow: another conductor may succeed. TaskFlow's rule, used by ``compat``.
NOT_THE_FLOWS: Final = (exc.ExecutionFailure, exc.StorageFailure)

#: The event that a conductor emits for each disposition of a job.
EVENT_OF_DISPOSITION: Final = {
    CONSUMED: "job_consumed",
    DEFERRED: "job_abandoned",
    DECLINED: "job_abandoned",
    ABANDONED: "job_abandoned",
    RELEASED: "job_released",
    TRASHED: "job_trashed",
    LOST: "job_lost",
}
#: Maximum length of the text of an error in a reason.
_MAX_TEXT: Final = 800

Listeners = Iterable[AbstractContextManager[Any]]
Notify = Callable[[str, dict[str, Any]], None]


class RunResult(NamedTuple):
    """What happens to a job after its run.

    Attributes:
        disposition: a key of ``EVENT_OF_DISPOSITION``.
        outcome: what the board stores with it.
        error: why the flow failed or could not be run.
    """

    disposition: str
    outcome: Mapping[str, Any]
    error: BaseException | None = None


class Rules(NamedTuple):
    """How errors decide what happens to a job.

    Attributes:
        load_error: called with what was raised before there was an engine.
        run_error: called with what the engine or a listener raised, and the engine.
        repeats_reverted: whether a job is given back for another attempt after these failures reverted its
            flow.
    """

    load_error: Callable[[BaseException], RunResult]
    run_error: Callable[[BaseException, Engine], RunResult]
    repeats_reverted: Callable[[Iterable[Failure]], bool] = lambda _: False


# ------------------------------------------------------------------ results


def result_of_load_error(error: BaseException) -> RunResult:
    """Return the result of a job whose flow could not be loaded.

    Without a flow it is a dead letter. What fails on one conductor (an import, a key, the code of a factory)
    may work on another.
    """
    if is_interrupt(error):
        return _result_of_interrupt(error)
    reason = {"reason": describe(error)}
    if is_a(error, exc.StorageFailure):
        return RunResult(DEFERRED, reason, error)
    has_no_flow = is_a(error, exc.NotFound) or is_a(error, exc.MultipleChoices)
    if has_no_flow and not is_a(error, exc.FactoryNotFound):
        return RunResult(TRASHED, reason, error)
    return RunResult(DECLINED, reason, error)


def result_of_error(error: BaseException, state: str | None, *, never_resolve: bool = False) -> RunResult:
    """Return the result of an engine that raised.

    Args:
        error: what it raised: failures of atoms, or an error of its own.
        state: the stored state of its flow; None if it cannot be read.
        never_resolve: whether the engine leaves failures as they are.
    """
    if state in {st.REVERTED, st.SUCCESS} or (state == st.FAILURE and never_resolve):
        return RunResult(CONSUMED, {"state": state, "failure": failure_of(error)}, error)
    if state == st.REVERT_FAILURE:
        reason = (
            f"the rollback of its flow failed: {describe(error)}; remove the cause, then requeue the job:"
            " its rollback goes on"
        )
        return RunResult(TRASHED, {"reason": reason}, error)
    if is_interrupt(error):
        return _result_of_interrupt(error)
    return RunResult(DEFERRED, {"reason": describe(error)}, error)


def result_of_flow(state: str, values: Mapping[str, Any]) -> RunResult:
    """Return the result of an engine that returned, with the values that its flow provided."""
    if state == st.SUSPENDED:
        return RunResult(RELEASED, {})
    return RunResult(CONSUMED, {"state": state, "result": dict(values)})


def result_of_reverted(failures: Iterable[Failure]) -> RunResult:
    """Return the result of a flow that was reverted by an owner that could not consume the job."""
    failure = next(iter(failures), None)
    outcome: dict[str, Any] = {"state": st.REVERTED}
    return RunResult(CONSUMED, outcome if failure is None else {**outcome, "failure": _to_dict(failure)})


def result_without_outcome(result: RunResult, error: BaseException) -> RunResult:
    """Return the result of a job whose outcome the board cannot store: it has ended all the same."""
    failure = Failure.from_exception(
        exc.JobFailure(f"the flow has ended, but its outcome cannot be stored: {error}")
    )
    return RunResult(CONSUMED, {"state": result.outcome.get("state"), "failure": _to_dict(failure)}, error)


def _result_of_interrupt(error: BaseException) -> RunResult:
    """Return the result of a job that was interrupted by Ctrl-C, or whose code raised KeyboardInterrupt.

    With a handler of its own for SIGINT a program does not get KeyboardInterrupt from Ctrl-C.
    """
    is_ctrl_c = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return RunResult(RELEASED if is_ctrl_c else DEFERRED, {"reason": describe(error)}, error)


def is_interrupt(error: BaseException | None) -> bool:
    """Return whether an error interrupts the program: KeyboardInterrupt in its main thread."""
    return is_a(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()


def describe(error: BaseException) -> str:
    """Return type and text of an error, redacted, on one line, also if its text cannot be read."""
    text = redaction.redact(error_text.describe(error).removesuffix(": "))
    return " ".join(error_text.shorten(text, _MAX_TEXT).split())


def failure_of(error: BaseException) -> dict[str, Any]:
    """Return the first failure of an error, as the board stores it."""
    failures = list(error) if is_a(error, exc.WrappedFailure) else []
    return _to_dict(failures[0] if failures else Failure.from_exception(error))


def is_of_atoms(error: BaseException) -> bool:
    """Return whether an engine that reverted its flow raised an error because atoms failed.

    It may also be that the answer to its last commit was lost, or that an observer raised.
    """
    return is_a(error, Exception) and not is_a(error, exc.StorageFailure)


def _to_dict(failure: Failure) -> dict[str, Any]:
    return failure.to_dict(include_args=False)


# ------------------------------------------------------------------ the run


class JobRun:
    """One run of a claimed job's flow.

    Args:
        job: the job.
        notify: called with an event and its details at the start and the end of each stage.
        persistence: where the flow is stored.
    """

    def __init__(self, job: Job, notify: Notify, persistence: Backend | None = None) -> None:
        self.job = job
        self.fencing_token = getattr(job, "fencing_token", 0)  # jobs of boards written for TaskFlow have none
        self._notify = notify
        self._persistence = persistence
        self._engine: Engine | None = None
        self._stopped = False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._cancelled = False

    # ------------------------------------------------------------- the thread

    def begin(self) -> bool:
        """Note that the calling thread runs the job; return False if the run was cancelled before."""
        with self._lock:
            self._thread = threading.current_thread()
            return not self._cancelled

    def cancel(self) -> bool:
        """Have the job not run; return False if a living thread runs it."""
        with self._lock:
            self._cancelled = self._thread is None or not self._thread.is_alive()
            return self._cancelled

    @property
    def is_alive(self) -> bool:
        """Whether a thread runs the job."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def stop(self) -> None:
        """Suspend the flow at its next atom; may be called from any thread at any time."""
        self._stopped = True
        engine = self._engine
        if engine is not None and engine.compilation is not None:
            engine.suspend()

    # ------------------------------------------------------------- the flow

    def run(
        self,
        make_engine: Callable[[Job], Engine],
        make_listeners: Callable[[Job, Engine], Listeners],
        rules: Rules,
    ) -> RunResult:
        """Run the flow until it ends or is suspended; raise nothing."""
        try:
            engine = self._engine = make_engine(self.job)
            listeners = list(make_listeners(self.job, engine))
        except BaseException as error:  # noqa: BLE001  its claim must end, whatever happened
            self._log(error, "loading its flow")
            return rules.load_error(error)
        result: RunResult | None = None
        try:
            with ExitStack() as stack:
                for listener in listeners:
                    stack.enter_context(listener)
                result = self._run(engine, rules)
        except BaseException as error:  # noqa: BLE001  of a listener
            self._log(error, "a listener")
            if result is None:
                return rules.run_error(error, engine)
            return result._replace(error=error) if is_interrupt(error) else result
        return result

    def _run(self, engine: Engine, rules: Rules) -> RunResult:
        # A stop that was requested before the flow runs takes effect when it starts.
        engine.notifier.register(st.RUNNING, self._suspend_if_stopped)
        try:
            for stage, name in (
                (engine.compile, "compilation"),
                (engine.prepare, "preparation"),
                (engine.validate, "validation"),
                (engine.run, "running"),
            ):
                if stage == engine.validate and self._was_reverted(engine, rules):
                    return result_of_reverted(engine.storage.get_failures().values())
                self._notify(f"{name}_start", {"job": self.job, "engine": engine})
                stage()
                self._notify(f"{name}_end", {"job": self.job, "engine": engine})
            state = engine.storage.get_flow_state()
            return result_of_flow(state, {} if state == st.SUSPENDED else provided_values(engine))
        except BaseException as error:  # noqa: BLE001  part of the result
            if not is_a(error, Exception):
                self._log(error, "its run")
            return rules.run_error(error, engine)
        finally:
            engine.notifier.deregister(st.RUNNING, self._suspend_if_stopped)

    def _log(self, error: BaseException, what: str) -> None:
        if not is_a(error, exc.StacklFlowError):  # its message says everything, and is logged later
            _LOG.warning("%r: %s raised %s", self.job, what, describe(error), exc_info=error)

    def _was_reverted(self, engine: Engine, rules: Rules) -> bool:
        """Return whether the flow was reverted for this very job, by an owner that could not consume it.

        A flow that was reverted for another job is reset: posting it again requests another run.

        Raises:
            OwnershipLost: the claim is lost; the job's owner decides about the flow.
        """
        if engine.storage.get_flow_state() != st.REVERTED:
            return False
        try:
            self.job.board.extend(self.job, self.job.claims[-1].owner)
        except (exc.JobFailure, exc.NotFound) as error:
            raise exc.OwnershipLost(f"the flow is left as it is: {error}", cause=error) from error
        reverted_at = self._reverted_at(engine)
        earlier_claims = [claim for claim in self.job.claims[:-1] if claim.at <= reverted_at]
        last = earlier_claims[-1].ended if earlier_claims else ""
        if last == LOST or (last and not rules.repeats_reverted(engine.storage.get_failures().values())):
            return True
        engine.reset()
        return False

    def _reverted_at(self, engine: Engine) -> float:
        if self._persistence is None:
            return math.inf
        with self._persistence.get_connection() as connection:
            transitions = connection.get_history(engine.storage.flow_uuid)
        times = (each.at for each in transitions if each.atom is None and each.new == st.REVERTED)
        return max(times, default=-math.inf)

    def _suspend_if_stopped(self, _state: str, details: dict[str, Any]) -> None:
        if self._stopped:
            details["engine"].suspend()


def provided_values(engine: Engine) -> dict[str, Any]:
    """Return what a flow provided, with secrets redacted: everyone with access to the board can read it."""
    values = engine.storage.fetch_all()
    names = redaction.secret_names(engine.storage.flow_meta)
    redacted: dict[str, Any] = redaction.redact_data(redaction.mask(values, names)) if names else values
    return redacted
