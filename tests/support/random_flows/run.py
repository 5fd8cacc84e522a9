"""A case run to its end, and the outcome told in words that do not belong to one library."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.support.random_flows.build import OURS, Library, load
from tests.support.random_flows.record import FlowBoom, Outcome
from tests.support.random_flows.spec import Case

#: More runs than any case needs to get past its suspensions.
_ENOUGH_RUNS = 12


def run_case(case: Case, library: Library = OURS, **options: Any) -> Outcome:
    """Run a case as often as it says, going on after each suspension and ending where a revert failed.

    Args:
        case: what to run.
        library: what to build it from.
        **options: passed on to `engines.load`.

    Returns:
        How it ended; a flow that cannot be built or loaded has no states, only what was raised.
    """
    try:
        engine, recorder = load(case, library, **options)
    except Exception as error:  # noqa: BLE001 - what is raised is what is compared
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
    except Exception as error:  # noqa: BLE001 - what is raised is what is compared
        return describe(error)
    return ()


def _texts(value: object) -> tuple[str, ...]:
    """Make text of a value, or of each of several that one name has."""
    return tuple(str(each) for each in value) if isinstance(value, list) else (str(value),)


def _atom_states(engine: Any, case: Case) -> dict[str, str]:
    return {atom.name: _atom_state(engine, atom.name) for atom in case.flow.atoms()}


def _atom_state(engine: Any, name: str) -> str:
    try:
        return str(engine.storage.get_atom_state(name))
    except Exception as error:  # noqa: BLE001 - an atom that was never stored has no state in either library
        return type(error).__name__


def describe(error: BaseException) -> tuple[str, ...]:
    """Name what was raised.

    Args:
        error: what was raised by a run, a build or a load.

    Returns:
        The texts of our own failures, sorted, or the type's name for anything else; what is wrapped is told.
    """
    if isinstance(error, FlowBoom):
        return (str(error),)
    if type(error).__name__ == "WrappedFailure" and isinstance(error, Iterable):
        return ("WrappedFailure", *sorted(_describe_failure(failure) for failure in error))
    return (type(error).__name__,)


def _describe_failure(failure: Any) -> str:
    if failure.check(FlowBoom):
        return str(failure.exception_str)
    return str(next(iter(failure))).rpartition(".")[2]
