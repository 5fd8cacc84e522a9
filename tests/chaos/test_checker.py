"""The checker finds the violations in wrong traces, and none in right ones."""

import pytest

from stackl_flow import states as st
from stackl_flow.persistence.records import FlowRecord, Transition
from tests.support.chaos import JobTrace, check
from tests.support.chaos.effects import EXECUTE, REVERT, Effect
from tests.support.chaos.flows import value
from tests.support.chaos.plan import NO_FLOW, JobSpec

P, R, S, F = st.PENDING, st.RUNNING, st.SUCCESS, st.FAILURE
REVERTING, REVERTED = st.REVERTING, st.REVERTED


def history(*transitions):
    return [
        Transition(number, atom, old, new, 0.0, owner)
        for number, (owner, atom, old, new) in enumerate(transitions, start=1)
    ]


def effects_of(*effects):
    return [Effect(5, atom, what, 1, owner, 100) for owner, atom, what in effects]


def make(kind, state, transitions, effects, epoch, **others):
    spec = JobSpec(5, 0.0, kind, 2, 0.0, "NORMAL")
    owner = transitions[-1][0]
    flow = FlowRecord("f", "b", kind, state, None, epoch, owner, 0.0, None)
    outcome = {"state": state, "result": {f"s{number}": value(f"s{number}", 5) for number in range(2)}}
    job_state = "succeeded" if state == S else "failed"
    trace = JobTrace(spec, job_state, outcome, (flow,), history(*transitions), effects_of(*effects), 1)
    return trace._replace(**others)


#: The first owner is lost while s1 runs, the second runs it again.
TRANSITIONS = (
    ("one", None, P, R),
    ("one", "s0", P, R),
    ("one", "s0", R, S),
    ("one", "s1", P, R),
    ("two", "s1", R, R),
    ("two", None, R, R),
    ("two", "s1", R, S),
    ("two", None, R, S),
)
EFFECTS = (("one", "s0", EXECUTE), ("one", "s1", EXECUTE), ("two", "s1", EXECUTE))
#: One owner, and everything is reverted.
REVERTED_TRANSITIONS = (
    ("one", "s0", P, R),
    ("one", "s0", R, S),
    ("one", "fails", P, R),
    ("one", "fails", R, F),
    ("one", "fails", F, REVERTING),
    ("one", "fails", REVERTING, REVERTED),
    ("one", "s0", S, REVERTING),
    ("one", "s0", REVERTING, REVERTED),
    ("one", None, R, REVERTED),
)
REVERT_EFFECTS = (
    ("one", "s0", EXECUTE),
    ("one", "fails", EXECUTE),
    ("one", "fails", REVERT),
    ("one", "s0", REVERT),
)


@pytest.fixture
def taken_over():
    return make("succeeding", S, TRANSITIONS, EFFECTS, 2)


@pytest.fixture
def reverted():
    return make("failing", REVERTED, REVERTED_TRANSITIONS, REVERT_EFFECTS, 1)


def found(trace, workers=1):
    return "\n".join(check([trace], workers))


def test_right_traces_have_no_violations(taken_over, reverted):
    assert check([taken_over, reverted], 1) == []
    assert (
        check([taken_over._replace(end_reports=0)], 1) == []
    )  # the conductor that should have reported it was killed


def test_a_job_in_a_wrong_state(taken_over):
    assert "it is claimed instead of succeeded" in found(taken_over._replace(state="claimed"))
    assert "it is dead instead of succeeded" in found(taken_over._replace(state="dead"))
    assert "2 conductors report that they finished it" in found(taken_over._replace(end_reports=2))
    assert "0 flows were run for it" in found(taken_over._replace(flows=()))
    assert "2 flows were run for it" in found(taken_over._replace(flows=taken_over.flows * 2))
    outcome = {"state": REVERTED}
    assert "flow is SUCCESS, and the board has REVERTED" in found(taken_over._replace(outcome=outcome))


def test_a_job_without_a_flow_is_a_dead_letter(taken_over):
    spec = taken_over.spec._replace(kind=NO_FLOW)
    assert check([JobTrace(spec, "dead", end_reports=1)], 1) == []
    assert "is succeeded instead of dead" in found(JobTrace(spec, "succeeded"))


def test_a_flow_in_a_wrong_final_state(taken_over, reverted):
    assert "its flow is REVERTED instead of SUCCESS" in found(reverted._replace(spec=taken_over.spec))
    assert "its flow is SUCCESS instead of REVERTED" in found(taken_over._replace(spec=reverted.spec))


def test_a_value_of_another_job(taken_over):
    outcome = {"state": S, "result": {"s0": value("s0", 5), "s1": value("s1", 6)}}
    assert "the board has the value 's1-of-6' of s1" in found(taken_over._replace(outcome=outcome))


def test_a_superseded_owner_writes(taken_over):
    late = (*TRANSITIONS[:7], ("one", None, R, R), TRANSITIONS[7])
    assert "a superseded owner wrote" in found(taken_over._replace(history=history(*late)))
    flow = taken_over.flows[0]._replace(epoch=1)
    assert "it had 2 owners in 1 epochs" in found(taken_over._replace(flows=(flow,)))
    flow = taken_over.flows[0]._replace(owner="one")
    assert "one owns it, and two wrote last" in found(taken_over._replace(flows=(flow,)))


def test_lost_and_repeated_transitions(taken_over):
    transitions = list(taken_over.history)
    assert "its history is numbered" in found(taken_over._replace(history=transitions[:3] + transitions[4:]))
    twice = history(*TRANSITIONS[:3], ("one", "s0", P, R), *TRANSITIONS[3:])
    assert "s0 went from PENDING to RUNNING when it was SUCCESS" in found(taken_over._replace(history=twice))


def test_an_atom_without_a_final_state(reverted):
    transitions = history(*REVERTED_TRANSITIONS[:7], REVERTED_TRANSITIONS[8])
    assert "its flow is REVERTED with {'s0': 'REVERTING'}" in found(reverted._replace(history=transitions))


@pytest.mark.parametrize(
    ("extra", "violation"),
    [
        (("one", "s0", EXECUTE), "one did execute s0 2 times in attempt 1"),
        (("two", "s0", EXECUTE), "two did execute s0 1 times, and recorded 0 starts"),
        (("three", "s1", EXECUTE), "three ran tasks and recorded nothing"),
        (("two", "s0", REVERT), "two did revert s0 1 times, and recorded 0 starts"),
    ],
)
def test_an_additional_effect(extra, violation, taken_over):
    assert violation in found(taken_over._replace(effects=effects_of(*EFFECTS, extra)))


def test_a_missing_effect(taken_over, reverted):
    assert "one did execute s0 0 times, and recorded 1 ends" in found(
        taken_over._replace(effects=effects_of(*EFFECTS[1:]))
    )
    assert "one did revert s0 0 times, and recorded 1 ends" in found(
        reverted._replace(effects=effects_of(*REVERT_EFFECTS[:3]))
    )


def test_a_flow_that_was_run_twice():
    again = tuple(("two", *transition[1:]) for transition in REVERTED_TRANSITIONS)
    back = (("two", "s0", REVERTED, P), ("two", "fails", REVERTED, P))
    effects = (*REVERT_EFFECTS, *(("two", *effect[1:]) for effect in REVERT_EFFECTS))
    trace = make("failing", REVERTED, (*REVERTED_TRANSITIONS, *back, *again), effects, 2)
    assert "execute s0 ended 2 times in attempt 1: under one, two" in found(trace)


def test_more_than_one_atom_was_running():
    transitions = (
        ("one", "s0", P, R),
        ("one", "s1", P, R),
        ("two", "s0", R, R),
        ("two", "s1", R, R),
        ("two", "s0", R, S),
        ("two", "s1", R, S),
    )
    effects = tuple((owner, atom, EXECUTE) for owner in ("one", "two") for atom in ("s0", "s1"))
    trace = make("succeeding", S, transitions, effects, 2)
    assert "one left 2 effects unrecorded with one task at a time" in found(trace)
    assert check([trace], 2) == []
