"""The intended differences from TaskFlow, each with its reason.

A random flow that ends as TaskFlow can end, in one of its possible orders, needs no entry here. An entry
rewrites both outcomes so that its own difference disappears, and no other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.support.random_flows import Call, Case, Outcome

Pair = tuple[Outcome, Outcome]


@dataclass(frozen=True, slots=True)
class Known:
    """An intended difference: name, reason, and the function that removes it from (ours, theirs)."""

    name: str
    why: str
    remove: Callable[[Case, Outcome, Outcome], Pair]


def translated(theirs: Outcome) -> Outcome:
    """Translate the state of TaskFlow's flow: after a failed revert it is REVERT_FAILURE, not FAILURE.

    TaskFlow's FAILURE has two meanings: the engine does not resolve failures (or broke), or the rollback is
    stuck. The second case needs an operator, so it has its own state here.
    """
    if "REVERT_FAILURE" not in theirs.atom_states.values() or "FAILURE" not in theirs.flow_states:
        return theirs
    states = tuple("REVERT_FAILURE" if state == "FAILURE" else state for state in theirs.flow_states)
    return replace(theirs, flow_states=states)


def _without_suspensions(outcome: Outcome) -> Outcome:
    ends = [pair for pair in zip(outcome.flow_states, outcome.raised, strict=False) if pair[0] != "SUSPENDED"]
    return replace(
        outcome, flow_states=tuple(state for state, _ in ends), raised=tuple(raised for _, raised in ends)
    )


def _suspensions(case: Case, ours: Outcome, theirs: Outcome) -> Pair:
    if not any(task.suspends for task in case.flow.tasks()):
        return ours, theirs
    return _without_suspensions(ours), _without_suspensions(theirs)


def _without_repeated_consults(calls: tuple[Call, ...]) -> tuple[Call, ...]:
    """Remove a call of on_failure that repeats the previous call."""
    pairs = zip((None, *calls), calls, strict=False)
    return tuple(call for before, call in pairs if not (call.what == "on_failure" and call == before))


def _consults(case: Case, ours: Outcome, theirs: Outcome) -> Pair:
    if not any(task.suspends for task in case.flow.tasks()):
        return ours, theirs
    both = (
        replace(
            outcome, calls={name: _without_repeated_consults(calls) for name, calls in outcome.calls.items()}
        )
        for outcome in (ours, theirs)
    )
    return next(both), next(both)


def _values(case: Case, ours: Outcome, theirs: Outcome) -> Pair:
    del case
    several = [{name: sorted(values) for name, values in outcome.values} for outcome in (ours, theirs)]
    if several[0] == several[1]:
        return replace(ours, values=()), replace(theirs, values=())
    return ours, theirs


def _no_values(case: Case, ours: Outcome, theirs: Outcome) -> Pair:
    del case
    mine = {name for name, _ in ours.values}
    kept = tuple(
        (name, values)
        for name, values in theirs.values
        if name in mine or not all(value.startswith("Failure: ") for value in values)
    )
    return ours, replace(theirs, values=kept)


def _broken(case: Case, ours: Outcome, theirs: Outcome) -> Pair:
    del case
    if ours.flow_states[-1:] != ("FAILURE",):
        return ours, theirs
    started = {
        name for name, state in ours.atom_states.items() if state == "RUNNING" and name not in ours.calls
    }
    states = {
        name: "PENDING" if name in started and theirs.atom_states.get(name) == "PENDING" else state
        for name, state in ours.atom_states.items()
    }
    return replace(ours, atom_states=states), theirs


def _open_failures(order: tuple[tuple[str, Call], ...]) -> dict[str, str]:
    """Return the tasks whose last execution failed after these calls, with the error."""
    last = {name: call.result for name, call in order if call.what == "execute" and call.result}
    return {name: result for name, result in last.items() if " execute " in result}


def _receives_open_failures(ours: Outcome) -> bool:
    """Whether each of our reverts received exactly the failures that were open when it was called."""
    return all(
        call.failures == tuple(sorted(_open_failures(ours.order[:at])))
        for at, (_, call) in enumerate(ours.order)
        if call.what == "revert"
    )


def _failures(case: Case, ours: Outcome, theirs: Outcome) -> Pair:
    del case
    if not _receives_open_failures(ours):
        return ours, theirs
    open_errors = tuple(sorted(_open_failures(ours.order).values()))
    as_expected = ours.flow_states[-1:] != ("REVERTED",) or ours.raised[-1] == (
        open_errors if len(open_errors) == 1 else ("WrappedFailure", *open_errors)
    )
    if as_expected and _raises_subset(ours, theirs):
        ours, theirs = replace(ours, raised=()), replace(theirs, raised=())
    return _without_failures(ours), _without_failures(theirs)


def _raises_subset(ours: Outcome, theirs: Outcome) -> bool:
    """Whether each of our runs raised if and only if theirs did, and no other errors."""
    return len(ours.raised) == len(theirs.raised) and all(
        bool(mine) == bool(other) and set(mine) <= {"WrappedFailure", *other}
        for mine, other in zip(ours.raised, theirs.raised, strict=True)
    )


def _without_failures(outcome: Outcome) -> Outcome:
    """Remove the failures that reverts received."""
    calls = {
        name: tuple(call._replace(failures=()) for call in calls) for name, calls in outcome.calls.items()
    }
    return replace(outcome, calls=calls)


KNOWN: tuple[Known, ...] = (
    Known(
        "reverts receive exactly the open failures",
        "When two siblings fail together, TaskFlow stores the second failure among those of reverts, so "
        "that `flow_failures` lacks it; and it keeps the failure of an attempt that succeeded later in "
        "memory, passes it to reverts and raises it at the end (a resumed process would not). Here both "
        "have exactly the atoms whose last execution failed; this is checked with the recorded calls.",
        _failures,
    ),
    Known(
        "a suspension takes effect at once",
        "A serial engine that is suspended starts no further sibling, like TaskFlow's parallel engine; "
        "TaskFlow's serial engine first runs all atoms that it has selected.",
        _suspensions,
    ),
    Known(
        "a retry is consulted once",
        "Resumed after a suspension, TaskFlow consults a retry again about a failure that it has decided.",
        _consults,
    ),
    Known(
        "values in the order of their providers",
        "If a retry and a task of its flow provide the same name, `fetch_all` lists the retry's value "
        "first, since it runs first; TaskFlow lists a retry after its flow's tasks.",
        _values,
    ),
    Known(
        "a failure is not a value",
        "If a task failed in one attempt and was ignored in the next, TaskFlow's `fetch_all` returns its "
        "old failure as its value; here it has no value.",
        _no_values,
    ),
    Known(
        "selected together with a failure",
        "If a flow ends in FAILURE (never_resolve, or a task requires the value of an ignored atom), atoms "
        "that were selected together with the failed one are marked as running, and run when the flow is "
        "resumed.",
        _broken,
    ),
)

FORGETS = "a new run has a new history"
"""TaskFlow's reset keeps the history of a retry that was not reverted itself, so that its attempts in the
last run count in the next one. Such a case is compared for its first run only."""

BREAKS = "TaskFlow fails itself"
"""TaskFlow itself fails in every order that was tried. Either with InvalidState and its flow RUNNING: it
finds runnable atoms, takes the flow as suspended, and the transition is invalid. Or with StorageFailure: it
consults an ignored retry, which has no history. Only our final state is checked."""

SUSPENDED = "a suspension changed which atoms were running"
"""As "a suspension takes effect at once", where a sibling that was not started changed the course of the
flow. Such a case is compared without its suspension, and its own final state is checked."""

SIBLINGS = "after a failure, siblings that have not started do not start"
"""TaskFlow runs all atoms that it selected together with one that fails, and then reverts them. Here they
stay PENDING, and calls that wait in an executor are recalled. Engines of compat have TaskFlow's rule: with
it, such a case has one of TaskFlow's outcomes."""


def explain(case: Case, ours: Outcome, theirs: Outcome) -> str:
    """Return the intended differences that explain all differences, joined; "" if some remain."""
    used = []
    for known in KNOWN:
        pair = known.remove(case, ours, theirs)
        if len(pair[0].differences(pair[1])) < len(ours.differences(theirs)):
            used.append(known.name)
        ours, theirs = pair
    return "" if ours.differences(theirs) else " + ".join(used)
