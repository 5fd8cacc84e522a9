"""Where we differ from TaskFlow on purpose: one list, each with its reason.

A random flow on which we end as TaskFlow can end, in one of the orders open to it, needs no entry here. An
entry says when it applies and rewrites both outcomes so that its own difference, and nothing else, is gone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.support.random_flows import Call, Case, Outcome

Pair = tuple[Outcome, Outcome]


@dataclass(frozen=True, slots=True)
class Known:
    """A difference on purpose: its name, why, and how to look past it in (ours, theirs)."""

    name: str
    why: str
    forgive: Callable[[Case, Outcome, Outcome], Pair]


def translated(theirs: Outcome) -> Outcome:
    """Say TaskFlow's outcome in our words: a flow whose revert failed is in REVERT_FAILURE, not FAILURE.

    TaskFlow's FAILURE mixes two things: an engine that was told never to resolve (or broke), and a flow
    stuck in its rollback. The second needs an operator, so with us it has a name of its own (DESIGN 4.6).
    """
    if "REVERT_FAILURE" not in theirs.atom_states.values() or "FAILURE" not in theirs.flow_states:
        return theirs
    states = tuple("REVERT_FAILURE" if state == "FAILURE" else state for state in theirs.flow_states)
    return replace(theirs, flow_states=states)


def _without_pauses(outcome: Outcome) -> Outcome:
    ends = [pair for pair in zip(outcome.flow_states, outcome.raised, strict=False) if pair[0] != "SUSPENDED"]
    return replace(
        outcome, flow_states=tuple(state for state, _ in ends), raised=tuple(raised for _, raised in ends)
    )


def _pauses(case: Case, ours: Outcome, theirs: Outcome) -> Pair:
    if not any(task.suspends for task in case.flow.tasks()):
        return ours, theirs
    return _without_pauses(ours), _without_pauses(theirs)


def _asked_once(calls: tuple[Call, ...]) -> tuple[Call, ...]:
    """Leave out a question that repeats the one before it."""
    pairs = zip((None, *calls), calls, strict=False)
    return tuple(call for before, call in pairs if not (call.what == "on_failure" and call == before))


def _asks(case: Case, ours: Outcome, theirs: Outcome) -> Pair:
    if not any(task.suspends for task in case.flow.tasks()):
        return ours, theirs
    both = (
        replace(outcome, calls={name: _asked_once(calls) for name, calls in outcome.calls.items()})
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
    begun = {
        name for name, state in ours.atom_states.items() if state == "RUNNING" and name not in ours.calls
    }
    states = {
        name: "PENDING" if name in begun and theirs.atom_states.get(name) == "PENDING" else state
        for name, state in ours.atom_states.items()
    }
    return replace(ours, atom_states=states), theirs


def _standing(order: tuple[tuple[str, Call], ...]) -> dict[str, str]:
    """Return the tasks whose last execute failed, with what it raised, after these calls."""
    last = {name: call.result for name, call in order if call.what == "execute" and call.result}
    return {name: result for name, result in last.items() if " execute " in result}


def _shown_what_stands(ours: Outcome) -> bool:
    """Say whether each of our reverts was shown exactly the failures that stood when it was called."""
    return all(
        call.failures == tuple(sorted(_standing(ours.order[:at])))
        for at, (_, call) in enumerate(ours.order)
        if call.what == "revert"
    )


def _failures(case: Case, ours: Outcome, theirs: Outcome) -> Pair:
    del case
    if not _shown_what_stands(ours):
        return ours, theirs
    stood = tuple(sorted(_standing(ours.order).values()))
    told = ours.flow_states[-1:] != ("REVERTED",) or ours.raised[-1] == (
        stood if len(stood) == 1 else ("WrappedFailure", *stood)
    )
    if told and _raise_no_more(ours, theirs):
        ours, theirs = replace(ours, raised=()), replace(theirs, raised=())
    return _unshown(ours), _unshown(theirs)


def _raise_no_more(ours: Outcome, theirs: Outcome) -> bool:
    """Say whether each of our runs raised something when theirs did, and nothing that theirs did not."""
    return len(ours.raised) == len(theirs.raised) and all(
        bool(mine) == bool(other) and set(mine) <= {"WrappedFailure", *other}
        for mine, other in zip(ours.raised, theirs.raised, strict=True)
    )


def _unshown(outcome: Outcome) -> Outcome:
    """Leave out which failures reverts were shown."""
    calls = {
        name: tuple(call._replace(failures=()) for call in calls) for name, calls in outcome.calls.items()
    }
    return replace(outcome, calls=calls)


KNOWN: tuple[Known, ...] = (
    Known(
        "the failures that stand are shown, all and only",
        "When two siblings fail together TaskFlow files the second one's failure with those of reverts, "
        "so that `flow_failures` hides it; and a failure of an attempt that has been made good since "
        "stays in its memory, is shown to reverts and raised at the end (a resumed process would not know "
        "of it). With us both hold exactly the atoms whose last execute failed; this is checked against "
        "the calls before it is forgiven.",
        _failures,
    ),
    Known(
        "a pause begins at once",
        "A serial engine that is told to suspend begins no further sibling, as TaskFlow's parallel engine "
        "does; TaskFlow's serial engine first runs all that it had chosen.",
        _pauses,
    ),
    Known(
        "a retry is asked once",
        "Resumed after a pause, TaskFlow asks a retry again about a failure that it has decided on already.",
        _asks,
    ),
    Known(
        "values in the order of their providers",
        "Where a retry and a task of its flow provide the same name, `fetch_all` lists the retry's value "
        "first, since it runs first; TaskFlow lists a retry after its flow's tasks.",
        _values,
    ),
    Known(
        "a failure is no value",
        "Where a task failed in one attempt and was ignored in the next, TaskFlow's `fetch_all` gives its old"
        " failure for its value; ours gives nothing.",
        _no_values,
    ),
    Known(
        "chosen with what broke",
        "Where a flow ends in FAILURE (never_resolve, or a task asks for what an ignored atom would have "
        "given), atoms chosen together with one that failed are marked as begun, and begin when the flow "
        "is resumed.",
        _broken,
    ),
)

FORGETS = "a new run has a new history"
"""TaskFlow's reset leaves the history of a retry that was not reverted itself, so that its attempts of the
last run count in the next one. Such a case is compared for its first run only."""

BREAKS = "TaskFlow breaks down"
"""In every order tried TaskFlow itself fails. Either it ends in InvalidState with its flow RUNNING: it
finds atoms that could run, takes itself for suspended, and may not move there. Or it ends in
StorageFailure: it asks a retry that was ignored, which has no history. There is no end to compare with;
ours is checked to be one."""

PAUSED = "a pause changed who was there when it failed"
"""As "a pause begins at once", where a sibling that did not begin made the flow go another way. Such a
case is compared without its pause, and its own end is checked to be one."""


def forgiven(case: Case, ours: Outcome, theirs: Outcome) -> str:
    """Return the known differences that explain all there is, joined; "" when something is left."""
    used = []
    for known in KNOWN:
        pair = known.forgive(case, ours, theirs)
        if len(pair[0].differences(pair[1])) < len(ours.differences(theirs)):
            used.append(known.name)
        ours, theirs = pair
    return "" if ours.differences(theirs) else " + ".join(used)
