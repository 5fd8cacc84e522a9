"""One job at work: its engine, run through its stages, and stopped when somebody asks for it.

What becomes of a job after its flow came to rest, or could not be run: a pure rule.

The rule is TaskFlow's: a job is done when its flow has ended, well or undone; it is given back when nothing
is wrong with it but the flow has not ended (it was suspended, or the machine could not go on); it is trashed
when there is no flow to be had of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from enum import Enum
from typing import Any, Final, NamedTuple

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow import states as st
from stackl_flow.engines.base import Engine
from stackl_flow.failure import Failure
from stackl_flow.jobboards.job import LOST, Job
from stackl_flow.persistence.base import Backend

#: Errors of the machine, not of the flow: somebody else may have more luck.
NOT_THE_FLOWS: Final = (exc.ExecutionFailure, exc.StorageFailure)


class Fate(Enum):
    """What is done with a job."""

    CONSUME = "job_consumed"
    #: Given back because of a trouble that may pass: after a while, for others or for the same.
    ABANDON = "job_abandoned"
    #: Given back because of an orderly stop: counts for nothing.
    RELEASE = "job_released"
    TRASH = "job_trashed"


class Verdict(NamedTuple):
    """What is done with a job, and what there is to tell of it."""

    fate: Fate
    outcome: Mapping[str, Any]
    error: BaseException | None = None


def of_rest(state: str, result: Mapping[str, Any]) -> Verdict:
    """Judge a job whose engine came back without an error.

    Args:
        state: the state of its flow.
        result: the values that the flow provided.

    Returns:
        The verdict.
    """
    if state == st.SUSPENDED:
        return Verdict(Fate.RELEASE, {})
    return Verdict(Fate.CONSUME, {"state": state, "result": dict(result)})


def of_error(error: BaseException, state: str) -> Verdict:
    """Judge a job whose engine raised.

    Args:
        error: what it raised.
        state: the state of its flow.

    Returns:
        The verdict.
    """
    failures = list(error) if isinstance(error, exc.WrappedFailure) else []
    if failures and all(failure.check(*NOT_THE_FLOWS) for failure in failures):
        return Verdict(Fate.ABANDON, {}, error)
    if isinstance(error, NOT_THE_FLOWS):
        return Verdict(Fate.ABANDON, {}, error)
    told = failures[0] if failures else Failure.from_exception(error)
    return Verdict(Fate.CONSUME, {"state": state, "failure": _dict_of(told)}, error)


def of_undone(failures: Iterable[Failure]) -> Verdict:
    """Judge a job whose flow had failed and been undone under it, before the board could be told.

    Args:
        failures: what made it fail.

    Returns:
        The verdict.
    """
    told = next(iter(failures), None)
    outcome: dict[str, Any] = {"state": st.REVERTED}
    return Verdict(Fate.CONSUME, outcome if told is None else {**outcome, "failure": _dict_of(told)})


def of_unkept(verdict: Verdict, error: BaseException) -> Verdict:
    """Judge a job whose outcome the board cannot keep: it has ended all the same.

    Args:
        verdict: what was to become of it.
        error: why that cannot be kept.

    Returns:
        The verdict.
    """
    told = Failure.from_exception(exc.JobFailure(f"its flow came to rest, but without an outcome: {error}"))
    return Verdict(Fate.CONSUME, {"state": verdict.outcome.get("state"), "failure": _dict_of(told)}, error)


def of_no_flow(error: BaseException) -> Verdict:
    """Judge a job of which no flow could be made.

    Args:
        error: why.

    Returns:
        The verdict.
    """
    if isinstance(error, exc.StorageFailure):
        return Verdict(Fate.ABANDON, {}, error)
    return Verdict(Fate.TRASH, {"reason": redaction.redact(f"{type(error).__name__}: {error}")}, error)


def _dict_of(failure: Failure) -> dict[str, Any]:
    return failure.to_dict(include_args=False)


_LOG = redaction.get_logger(__name__)

Listeners = Iterable[AbstractContextManager[Any]]
Tell = Callable[[str, dict[str, Any]], None]


class Work:
    """Runs the flow of one claimed job.

    Args:
        job: the job.
        tell: hears of the stages, by event and details.
        persistence: where its flow is stored.
    """

    def __init__(self, job: Job, tell: Tell, persistence: Backend | None = None) -> None:
        self.job = job
        self._tell = tell
        self._persistence = persistence
        self._engine: Engine | None = None
        self._stopped = False

    def stop(self) -> None:
        """Have the flow suspended at its next atom; any thread may call this, at any time."""
        self._stopped = True
        engine = self._engine
        if engine is not None and engine.compilation is not None:
            engine.suspend()

    def do(
        self, make_engine: Callable[[Job], Engine], listeners: Callable[[Job, Engine], Listeners]
    ) -> Verdict:
        """Run the flow until it rests.

        Args:
            make_engine: gets the engine for the job.
            listeners: gets what is to listen to it.

        Returns:
            What is to become of the job.
        """
        try:
            engine = self._engine = make_engine(self.job)
            listening = list(listeners(self.job, engine))
        except Exception as error:  # noqa: BLE001  whatever it is, the job goes to the bin with it
            if not isinstance(error, exc.StacklFlowError):  # whose message says it all
                _LOG.warning("making the flow of %r raised", self.job, exc_info=True)
            return of_no_flow(error)
        with ExitStack() as stack:
            for listener in listening:
                stack.enter_context(listener)
            return self._run(engine)

    def _run(self, engine: Engine) -> Verdict:
        # A stop that was asked for before the flow runs counts from its first moment on.
        engine.notifier.register(st.RUNNING, self._check_stop)
        try:
            for stage, name in (
                (engine.compile, "compilation"),
                (engine.prepare, "preparation"),
                (engine.validate, "validation"),
                (engine.run, "running"),
            ):
                if stage == engine.validate and self._is_done(engine):
                    return of_undone(engine.storage.get_failures().values())
                self._tell(f"{name}_start", {"job": self.job, "engine": engine})
                stage()
                self._tell(f"{name}_end", {"job": self.job, "engine": engine})
        except exc.OwnershipLost as error:
            return of_error(error, st.RUNNING)
        except Exception as error:  # noqa: BLE001  the verdict tells of it
            return of_error(error, engine.storage.get_flow_state())
        finally:
            engine.notifier.deregister(st.RUNNING, self._check_stop)
        state = engine.storage.get_flow_state()
        return of_rest(state, {} if state == st.SUSPENDED else _told(engine))

    def _is_done(self, engine: Engine) -> bool:
        """Say whether the flow was undone under this very job, by one who died before the board heard of it.

        Otherwise an undone flow is set back: who posts it again wants it run again.

        Raises:
            OwnershipLost: the claim is not there any more, and whoever has the job decides about its flow.
        """
        if engine.storage.get_flow_state() != st.REVERTED:
            return False
        try:
            self.job.board.extend(self.job, self.job.claims[-1].who)
        except (exc.JobFailure, exc.NotFound) as error:
            raise exc.OwnershipLost(f"its flow is left as it is: {error}", cause=error) from error
        undone = self._undone_at(engine)
        under = [claim for claim in self.job.claims[:-1] if claim.at <= undone]
        if under and under[-1].ended == LOST:  # else it was given back, to be tried again
            return True
        engine.reset()
        return False

    def _undone_at(self, engine: Engine) -> float:
        if self._persistence is None:
            return math.inf
        with self._persistence.get_connection() as connection:
            moves = connection.get_history(engine.storage.flow_uuid)
        ends = (move.at for move in moves if move.atom is None and move.new == st.REVERTED)
        return max(ends, default=-math.inf)

    def _check_stop(self, _state: str, details: dict[str, Any]) -> None:
        if self._stopped:
            details["engine"].suspend()


def _told(engine: Engine) -> dict[str, Any]:
    """Return what a flow provided, as whoever looks at the board may see it."""
    found = engine.storage.fetch_all()
    names = redaction.secret_names(engine.storage.flow_meta)
    told: dict[str, Any] = redaction.redact_data(redaction.mask(found, names)) if names else found
    return told
