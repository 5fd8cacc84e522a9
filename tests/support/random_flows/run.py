"""Runs a case and describes the outcome in terms that both libraries share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.support.random_flows.build import OURS, Library, load
from tests.support.random_flows.record import Outcome, PlannedError
from tests.support.random_flows.spec import Case

#: More runs than any case needs.
_ENOUGH_RUNS = 12


def run_case(case: Case, library: Library = OURS, **options: Any) -> Outcome:
    """Run a case as often as planned; resume it after suspensions, stop when a revert fails.

    Returns:
        The outcome; a flow that cannot be built or loaded has an error and no states.
    """
    try:
        engine, recorder = load(case, library, **options)
    except Exception as error:  # noqa: BLE001 - errors are compared
        return Outcome((), (describe(error),), {}, {})
    states: list[str] = []
    raised: list[tuple[str, ...]] = []
    left = case.runs
    while left > 0 and len(states) < _ENOUGH_RUNS:
        raised.append(_run(engine))
        states.append(str(engine.storage.get_flow_state()))
        if "REVERT_FAILURE" in _atom_states(engine, case).values():
            break
        if states[-1] != "SUSPENDED":
            left -= 1
    values = engine.storage.fetch_all() if states[-1] == "SUCCESS" else {}
    return Outcome(
        tuple(states),
        tuple(raised),
        _atom_states(engine, case),
        recorder.by_atom(),
        tuple(sorted((name, _texts(value)) for name, value in values.items())),
        tuple(recorder.order),
    )


def _run(engine: Any) -> tuple[str, ...]:
    try:
        engine.run()
    except Exception as error:  # noqa: BLE001 - errors are compared
        return describe(error)
    return ()


def _texts(value: object) -> tuple[str, ...]:
    """Convert a value to text, or each of several values of one name."""
    return tuple(str(each) for each in value) if isinstance(value, list) else (str(value),)


def _atom_states(engine: Any, case: Case) -> dict[str, str]:
    return {atom.name: _atom_state(engine, atom.name) for atom in case.flow.atoms()}


def _atom_state(engine: Any, name: str) -> str:
    try:
        return str(engine.storage.get_atom_state(name))
    except Exception as error:  # noqa: BLE001 - an atom that was not stored has no state in either library
        return type(error).__name__


def describe(error: BaseException) -> tuple[str, ...]:
    """Describe an error.

    Returns:
        The texts of planned failures, sorted; for other errors the name of their type.
    """
    if isinstance(error, PlannedError):
        return (str(error),)
    if type(error).__name__ == "WrappedFailure" and isinstance(error, Iterable):
        return ("WrappedFailure", *sorted(_describe_failure(failure) for failure in error))
    return (_taskflow_name(type(error).__name__),)


def _describe_failure(failure: Any) -> str:
    if failure.check(PlannedError):
        return str(failure.exception_str)
    return _taskflow_name(str(next(iter(failure))).rpartition(".")[2])


def _taskflow_name(name: str) -> str:
    return "NotFound" if name == "ValueNotProvided" else name
