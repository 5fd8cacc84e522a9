"""The checker finds what is wrong with a story, and nothing wrong with one that is right."""

import pytest

from stackl_flow import states as st
from stackl_flow.persistence.records import FlowRecord, Transition
from tests.support.chaos import Story, check
from tests.support.chaos.effects import EXECUTE, REVERT, Effect
from tests.support.chaos.flows import value
from tests.support.chaos.plan import BOOKLESS, JobSpec

P, R, S, F = st.PENDING, st.RUNNING, st.SUCCESS, st.FAILURE
REVERTING, REVERTED = st.REVERTING, st.REVERTED


def history(*moves):
    return [
        Transition(number, atom, old, new, 0.0, owner)
        for number, (owner, atom, old, new) in enumerate(moves, start=1)
    ]


def did(*effects):
    return [Effect(5, atom, what, 1, owner, 100) for owner, atom, what in effects]


def make(kind, state, moves, effects, epoch, **others):
    spec = JobSpec(5, 0.0, kind, 2, 0.0, "NORMAL")
    owner = moves[-1][0]
    flow = FlowRecord("f", "b", kind, state, None, epoch, owner, 0.0, None)
    outcome = {"state": state, "result": {f"s{number}": value(f"s{number}", 5) for number in range(2)}}
    story = Story(spec, "consumed", outcome, (flow,), history(*moves), did(*effects), 1)
    return story._replace(**others)


#: The first owner dies at work on s1, the second begins it again.
MOVES = (
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
#: One owner, and everything is undone.
UNDONE = (
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
BACK = (
    ("one", "s0", EXECUTE),
    ("one", "fails", EXECUTE),
    ("one", "fails", REVERT),
    ("one", "s0", REVERT),
)


@pytest.fixture
def taken_over():
    return make("steady", S, MOVES, EFFECTS, 2)


@pytest.fixture
def undone():
    return make("doomed", REVERTED, UNDONE, BACK, 1)


def found(story, workers=1):
    return "\n".join(check([story], workers))


def test_nothing_is_wrong_with_what_is_right(taken_over, undone):
    assert check([taken_over, undone], 1) == []
    assert check([taken_over._replace(told=0)], 1) == []  # who was to tell it died


def test_a_job_that_did_not_end_as_it_had_to(taken_over):
    assert "it is claimed instead of consumed" in found(taken_over._replace(head="claimed"))
    assert "it is trashed instead of consumed" in found(taken_over._replace(head="trashed"))
    assert "2 conductors say that they ended it" in found(taken_over._replace(told=2))
    assert "0 flows were run for it" in found(taken_over._replace(flows=()))
    assert "2 flows were run for it" in found(taken_over._replace(flows=taken_over.flows * 2))
    told = {"state": REVERTED}
    assert "flow is SUCCESS, and the board says REVERTED" in found(taken_over._replace(outcome=told))


def test_a_job_without_a_flow_is_trashed(taken_over):
    spec = taken_over.spec._replace(kind=BOOKLESS)
    assert check([Story(spec, "trashed", told=1)], 1) == []
    assert "is consumed instead of trashed" in found(Story(spec, "consumed"))


def test_a_flow_that_ended_in_another_state(taken_over, undone):
    assert "its flow is REVERTED instead of SUCCESS" in found(undone._replace(spec=taken_over.spec))
    assert "its flow is SUCCESS instead of REVERTED" in found(taken_over._replace(spec=undone.spec))


def test_a_value_that_is_another_jobs(taken_over):
    outcome = {"state": S, "result": {"s0": value("s0", 5), "s1": value("s1", 6)}}
    assert "the board has the value 's1-of-6' of s1" in found(taken_over._replace(outcome=outcome))


def test_one_who_was_superseded_writes(taken_over):
    late = (*MOVES[:7], ("one", None, R, R), MOVES[7])
    assert "somebody superseded went on writing" in found(taken_over._replace(history=history(*late)))
    flow = taken_over.flows[0]._replace(epoch=1)
    assert "it had 2 owners in 1 epochs" in found(taken_over._replace(flows=(flow,)))
    flow = taken_over.flows[0]._replace(owner="one")
    assert "one owns it, and two wrote last" in found(taken_over._replace(flows=(flow,)))


def test_moves_that_are_lost_or_made_twice(taken_over):
    moves = list(taken_over.history)
    assert "its history is numbered" in found(taken_over._replace(history=moves[:3] + moves[4:]))
    twice = history(*MOVES[:3], ("one", "s0", P, R), *MOVES[3:])
    assert "s0 went from PENDING to RUNNING when it was SUCCESS" in found(taken_over._replace(history=twice))


def test_an_atom_that_does_not_rest(undone):
    moves = history(*UNDONE[:7], UNDONE[8])
    assert "its flow is REVERTED with {'s0': 'REVERTING'}" in found(undone._replace(history=moves))


@pytest.mark.parametrize(
    ("extra", "wrong"),
    [
        (("one", "s0", EXECUTE), "one did execute s0 2 times in attempt 1"),
        (("two", "s0", EXECUTE), "two did execute s0 1 times, and wrote down 0 beginnings"),
        (("three", "s1", EXECUTE), "three worked, and wrote nothing down"),
        (("two", "s0", REVERT), "two did revert s0 1 times, and wrote down 0 beginnings"),
    ],
)
def test_an_effect_too_many(extra, wrong, taken_over):
    assert wrong in found(taken_over._replace(effects=did(*EFFECTS, extra)))


def test_an_effect_that_is_missing(taken_over, undone):
    assert "one did execute s0 0 times, and wrote down 1 ends" in found(
        taken_over._replace(effects=did(*EFFECTS[1:]))
    )
    assert "one did revert s0 0 times, and wrote down 1 ends" in found(
        undone._replace(effects=did(*BACK[:3]))
    )


def test_a_flow_that_was_run_from_its_beginning_again():
    again = tuple(("two", *move[1:]) for move in UNDONE)
    back = (("two", "s0", REVERTED, P), ("two", "fails", REVERTED, P))
    effects = (*BACK, *(("two", *effect[1:]) for effect in BACK))
    story = make("doomed", REVERTED, (*UNDONE, *back, *again), effects, 2)
    assert "execute s0 ended 2 times in attempt 1: under one, two" in found(story)


def test_more_under_way_than_one():
    moves = (
        ("one", "s0", P, R),
        ("one", "s1", P, R),
        ("two", "s0", R, R),
        ("two", "s1", R, R),
        ("two", "s0", R, S),
        ("two", "s1", R, S),
    )
    effects = tuple((owner, atom, EXECUTE) for owner in ("one", "two") for atom in ("s0", "s1"))
    story = make("steady", S, moves, effects, 2)
    assert "one left 2 effects unrecorded, and ran one task at a time" in found(story)
    assert check([story], 2) == []
