"""Runs one job: its engine goes through its stages; how its flow ends decides what happens to the job.

The rule is TaskFlow's. A job is consumed when its flow has ended, successfully or reverted. It is given back
when its flow has not ended: the flow was suspended, or this machine could not go on. It becomes a dead letter
when its flow cannot be loaded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Final, NamedTuple

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow import states as st
from stackl_flow.engines.base import Engine
from stackl_flow.failure import Failure
from stackl_flow.jobboards.base import Job
from stackl_flow.jobboards.record import CONSUMED, DEFERRED, LOST, RELEASED, TRASHED
from stackl_flow.persistence.base import Backend

_LOG = redaction.get_logger(__name__)

#: Errors of the machine, not of the flow: another conductor may succeed.
NOT_THE_FLOWS: Final = (exc.ExecutionFailure, exc.StorageFailure)

#: The event that a conductor emits for each disposition of a job.
EVENT_OF_DISPOSITION: Final = {
    CONSUMED: "job_consumed",
    DEFERRED: "job_abandoned",
    RELEASED: "job_released",
    TRASHED: "job_trashed",
}

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


def result_of_flow(state: str, values: Mapping[str, Any]) -> RunResult:
    """Return the result of an engine that returned, with the values that its flow provided."""
    if state == st.SUSPENDED:
        return RunResult(RELEASED, {})
    return RunResult(CONSUMED, {"state": state, "result": dict(values)})


def result_of_error(error: BaseException, state: str) -> RunResult:
    """Return the result of an engine that raised, with its flow in this state."""
    failures = list(error) if isinstance(error, exc.WrappedFailure) else []
    if _are_of_the_machine(failures):
        return RunResult(DEFERRED, {}, error)
    if isinstance(error, NOT_THE_FLOWS):
        return RunResult(DEFERRED, {}, error)
    failure = failures[0] if failures else Failure.from_exception(error)
    return RunResult(CONSUMED, {"state": state, "failure": _to_dict(failure)}, error)


def result_of_reverted(failures: Iterable[Failure]) -> RunResult:
    """Return the result of a flow that was reverted by an owner that died before it consumed the job."""
    failure = next(iter(failures), None)
    outcome: dict[str, Any] = {"state": st.REVERTED}
    return RunResult(CONSUMED, outcome if failure is None else {**outcome, "failure": _to_dict(failure)})


def result_without_outcome(result: RunResult, error: BaseException) -> RunResult:
    """Return the result of a job whose outcome the board cannot store: it has ended all the same."""
    failure = Failure.from_exception(
        exc.JobFailure(f"the flow has ended, but its outcome cannot be stored: {error}")
    )
    return RunResult(CONSUMED, {"state": result.outcome.get("state"), "failure": _to_dict(failure)}, error)


def result_of_load_error(error: BaseException) -> RunResult:
    """Return the result of a job whose flow could not be loaded."""
    if isinstance(error, exc.StorageFailure):
        return RunResult(DEFERRED, {}, error)
    return RunResult(TRASHED, {"reason": redaction.redact(f"{type(error).__name__}: {error}")}, error)


def _are_of_the_machine(failures: Iterable[Failure]) -> bool:
    """Return whether there are failures, all of them errors of the machine."""
    checked = [failure.check(*NOT_THE_FLOWS) for failure in failures]
    return bool(checked) and all(checked)


def _to_dict(failure: Failure) -> dict[str, Any]:
    return failure.to_dict(include_args=False)


class JobRun:
    """One run of a claimed job's flow.

    Args:
        job: the job.
        notify: called with an event and its details at the start and the end of each stage.
        persistence: where the flow is stored.
    """

    def __init__(self, job: Job, notify: Notify, persistence: Backend | None = None) -> None:
        self.job = job
        self._notify = notify
        self._persistence = persistence
        self._engine: Engine | None = None
        self._stopped = False

    def stop(self) -> None:
        """Suspend the flow at its next atom; may be called from any thread at any time."""
        self._stopped = True
        engine = self._engine
        if engine is not None and engine.compilation is not None:
            engine.suspend()

    def run(
        self, make_engine: Callable[[Job], Engine], make_listeners: Callable[[Job, Engine], Listeners]
    ) -> RunResult:
        """Run the flow until it ends or is suspended."""
        try:
            engine = self._engine = make_engine(self.job)
            listeners = list(make_listeners(self.job, engine))
        except Exception as error:  # noqa: BLE001  the job becomes a dead letter, with the error as its reason
            if not isinstance(error, exc.StacklFlowError):  # its message says everything
                _LOG.warning("loading the flow of %r failed", self.job, exc_info=True)
            return result_of_load_error(error)
        with ExitStack() as stack:
            for listener in listeners:
                stack.enter_context(listener)
            return self._run(engine)

    def _run(self, engine: Engine) -> RunResult:
        # A stop that was requested before the flow runs takes effect when it starts.
        engine.notifier.register(st.RUNNING, self._suspend_if_stopped)
        try:
            for stage, name in (
                (engine.compile, "compilation"),
                (engine.prepare, "preparation"),
                (engine.validate, "validation"),
                (engine.run, "running"),
            ):
                if stage == engine.validate and self._was_reverted(engine):
                    return result_of_reverted(engine.storage.get_failures().values())
                self._notify(f"{name}_start", {"job": self.job, "engine": engine})
                stage()
                self._notify(f"{name}_end", {"job": self.job, "engine": engine})
        except exc.OwnershipLost as error:
            return result_of_error(error, st.RUNNING)
        except Exception as error:  # noqa: BLE001  part of the result
            return result_of_error(error, engine.storage.get_flow_state())
        finally:
            engine.notifier.deregister(st.RUNNING, self._suspend_if_stopped)
        state = engine.storage.get_flow_state()
        return result_of_flow(state, {} if state == st.SUSPENDED else _provided_values(engine))

    def _was_reverted(self, engine: Engine) -> bool:
        """Return whether the flow was reverted for this very job, by an owner that died before consuming it.

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
        # A claim is also deferred because a task reported an error of its machine: for another attempt.
        if last == LOST or (
            last == DEFERRED and not _are_of_the_machine(engine.storage.get_failures().values())
        ):
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


def _provided_values(engine: Engine) -> dict[str, Any]:
    """Return what a flow provided, with secrets redacted: everyone with access to the board can read it."""
    values = engine.storage.fetch_all()
    names = redaction.secret_names(engine.storage.flow_meta)
    redacted: dict[str, Any] = redaction.redact_data(redaction.mask(values, names)) if names else values
    return redacted
