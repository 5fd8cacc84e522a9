"""The library's guarantees, checked on the trace of a job: a pure function from a trace to its violations.

In the order in which they are checked:

* A posted job finishes: it is consumed with its flow's result, or trashed if it has no flow. At most one
  conductor reports that it finished the job. Exactly one flow was run for it.
* A superseded owner writes nothing: in a flow's history the transitions of each owner are contiguous, and
  there are no more owners than epochs. Each transition starts from the state in which the atom was left.
* Work is recorded before it starts: an atom has its side effect at most as often as its owner recorded a
  start. The next owner repeats what the last one started and did not finish: an effect is repeated only for
  atoms that were running when their owner was lost; with serial tasks that is at most one atom.
* No effect is lost: a recorded end had its effect.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from stackl_flow import states as st
from stackl_flow.jobboards.record import DEAD, FAILED, SUCCEEDED
from stackl_flow.persistence.records import Transition
from tests.support.chaos.effects import EXECUTE, REVERT
from tests.support.chaos.flows import KINDS, LARGE, LARGE_KINDS, RETRY, value
from tests.support.chaos.plan import NO_FLOW
from tests.support.chaos.traces import JobTrace

#: States of an atom at work, and the transitions that end the work.
_AT_WORK: Final = {st.RUNNING: EXECUTE, st.REVERTING: REVERT}
_ENDED: Final[dict[tuple[str | None, str | None], str]] = {
    (st.RUNNING, st.SUCCESS): EXECUTE,
    (st.RUNNING, st.FAILURE): EXECUTE,
    (st.REVERTING, st.REVERTED): REVERT,
    (st.REVERTING, st.REVERT_FAILURE): REVERT,
}
#: Final states of atoms by the final state of their flow.
_FINAL: Final = {
    st.SUCCESS: frozenset({st.SUCCESS}),
    st.REVERTED: frozenset({st.REVERTED, st.PENDING}),
}


def check(traces: Iterable[JobTrace], workers: int) -> list[str]:
    """Check traces; return a line for each violation. ``workers`` is how many tasks of a flow ran at once."""
    return [f"job {trace.spec.number}: {each}" for trace in traces for each in violations(trace, workers)]


def violations(trace: JobTrace, workers: int) -> Iterator[str]:
    """Check one trace and yield its violations."""
    if trace.end_reports > 1:
        yield f"{trace.end_reports} conductors report that they finished it"
    if trace.spec.kind == NO_FLOW:
        if trace.state != DEAD:
            yield f"it has no flow, and is {trace.state or 'unknown'} instead of {DEAD}"
        return
    if len(trace.flows) != 1:
        yield f"{len(trace.flows)} flows were run for it"
        return
    yield from _check_end(trace)
    yield from _check_owners(trace)
    yield from _check_transitions(trace)
    yield from _check_effects(trace, workers)


def _check_end(trace: JobTrace) -> Iterator[str]:
    expected, state = KINDS[trace.spec.kind][1], trace.flows[0].state
    expected_job_state = SUCCEEDED if state == st.SUCCESS else FAILED
    if trace.state != expected_job_state:
        yield f"it is {trace.state or 'unknown'} instead of {expected_job_state}: {dict(trace.outcome)}"
    elif trace.outcome.get("state") != state:
        yield f"its flow is {state}, and the board has {trace.outcome.get('state')}"
    elif state == st.SUCCESS:
        yield from _check_values(trace)
    if state != expected:
        yield f"its flow is {state} instead of {expected}"


def _check_values(trace: JobTrace) -> Iterator[str]:
    result = trace.outcome["result"]
    size = LARGE if trace.spec.kind in LARGE_KINDS else 0
    for atom in {effect.atom for effect in trace.effects}:
        if result.get(atom) != value(atom, trace.spec.number, size):
            yield f"the board has the value {result.get(atom)!r:.200} of {atom}"


def _ownership_periods(history: Sequence[Transition]) -> list[tuple[str, list[Transition]]]:
    return [
        (owner, list(transitions))
        for owner, transitions in groupby(history, lambda transition: transition.who)
    ]


def _check_owners(trace: JobTrace) -> Iterator[str]:
    record, owners = trace.flows[0], [owner for owner, _ in _ownership_periods(trace.history)]
    if len(set(owners)) != len(owners):
        yield f"a superseded owner wrote: {' '.join(owners)}"
    if len(set(owners)) > record.epoch:
        yield f"it had {len(set(owners))} owners in {record.epoch} epochs"
    if record.owner in owners[:-1]:
        yield f"{record.owner} owns it, and {owners[-1]} wrote last"
    unknown = {effect.owner for effect in trace.effects} - set(owners)
    if unknown:
        yield f"{', '.join(unknown)} ran tasks and recorded nothing"


def _check_transitions(trace: JobTrace) -> Iterator[str]:
    numbers = [transition.seq for transition in trace.history]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"its history is numbered {numbers}"
    last: dict[str | None, str | None] = {}
    for transition in trace.history:
        if transition.atom is not None and last.get(transition.atom, st.PENDING) != (
            transition.old or st.PENDING
        ):
            state = last.get(transition.atom)
            yield f"{transition.atom} went from {transition.old} to {transition.new} when it was {state}"
        last[transition.atom] = transition.new
    final = _FINAL.get(trace.flows[0].state or "", frozenset())
    unfinished = {atom: state for atom, state in last.items() if atom is not None and state not in final}
    if unfinished:
        yield f"its flow is {trace.flows[0].state} with {unfinished}"


def _check_effects(trace: JobTrace, workers: int) -> Iterator[str]:
    for effect, times in Counter(trace.effects).items():
        if times > 1:
            yield f"{effect.owner} did {effect.what} {effect.atom} {times} times in attempt {effect.attempt}"
    for owner, transitions in _ownership_periods(trace.history):
        yield from _check_work(trace, owner, transitions, workers)
    yield from _check_repeats(trace)


def _check_repeats(trace: JobTrace) -> Iterator[str]:
    """Find effects that were repeated although the end of their atom was recorded."""
    attempts: dict[tuple[str, str, int], list[str]] = defaultdict(list)
    for effect in trace.effects:
        attempts[effect.atom, effect.what, effect.attempt].append(effect.owner)
    interrupted = {owner: _running(transitions) for owner, transitions in _ownership_periods(trace.history)}
    for (atom, what, attempt), owners in attempts.items():
        ended = [owner for owner in owners if (atom, what) not in interrupted.get(owner, ())]
        if len(ended) > 1:
            yield f"{what} {atom} ended {len(ended)} times in attempt {attempt}: under {', '.join(ended)}"


def _running(transitions: Sequence[Transition]) -> set[tuple[str, str]]:
    """Return what an owner had started and not finished at its last transition."""
    last = {transition.atom: transition.new for transition in transitions if transition.atom is not None}
    return {(atom, _AT_WORK[state]) for atom, state in last.items() if state in _AT_WORK}


def _check_work(
    trace: JobTrace, owner: str, transitions: Sequence[Transition], workers: int
) -> Iterator[str]:
    """Compare the effects of one owner with what it recorded."""
    done = Counter((effect.atom, effect.what) for effect in trace.effects if effect.owner == owner)
    of_tasks = [
        (transition, transition.atom)
        for transition in transitions
        if transition.atom is not None and transition.atom != RETRY
    ]
    started = Counter(
        (atom, _AT_WORK[transition.new]) for transition, atom in of_tasks if transition.new in _AT_WORK
    )
    ended = Counter(
        (atom, _ENDED[transition.old, transition.new])
        for transition, atom in of_tasks
        if (transition.old, transition.new) in _ENDED
    )
    for work in sorted(done | ended):
        what = " ".join(reversed(work))
        if done[work] > started[work]:
            yield f"{owner} did {what} {done[work]} times, and recorded {started[work]} starts"
        if done[work] < ended[work]:
            yield f"{owner} did {what} {done[work]} times, and recorded {ended[work]} ends"
    unrecorded = (done - ended).total()
    # On several threads tasks continue while the engine waits for its database: all started ones may be done.
    if workers == 1 and unrecorded > 1:
        yield f"{owner} left {unrecorded} effects unrecorded with one task at a time"
