"""What becomes of a job after its flow came to rest, or could not be run: a pure rule.

The rule is TaskFlow's: a job is done when its flow has ended, well or undone; it is given back when nothing
is wrong with it but the flow has not ended (it was suspended, or the machine could not go on); it is trashed
when there is no flow to be had of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Final, NamedTuple

from stackl_flow import exceptions as exc
from stackl_flow import secrecy
from stackl_flow import states as st
from stackl_flow.failure import Failure

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
    return Verdict(Fate.TRASH, {"reason": secrecy.redact(f"{type(error).__name__}: {error}")}, error)


def _dict_of(failure: Failure) -> dict[str, Any]:
    return failure.to_dict(include_args=False)
