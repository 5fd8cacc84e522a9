"""Properties of the scheduler that hold for every flow, any failures and any order of completions."""

from __future__ import annotations

import random
from dataclasses import replace

import hypothesis
import pytest
from hypothesis import strategies

from stackl_flow import states as st
from stackl_flow.exceptions import StacklFlowError
from tests.property.world import CLEAR, World, plan_for
from tests.support.random_flows import Case, Chances, RetrySpec, seeded_case

pytestmark = pytest.mark.slow

#: No invalid flows, and no suspension except those that a test requests.
CHANCES = Chances(odd=0, suspend=0, again=0, fail=0.25)


def cases(chances: Chances = CHANCES) -> strategies.SearchStrategy[Case]:
    """Draw cases by seed: shrinking every random choice would take minutes."""
    return strategies.integers(0, 2**40).map(lambda seed: seeded_case(seed, chances=chances)).filter(accepted)


def accepted(case: Case) -> bool:
    """Return whether the case compiles."""
    try:
        plan_for(case)
    except StacklFlowError:
        return False
    return True


seeds = strategies.integers(0, 2**32)
slots = strategies.sampled_from([None, 1, 2, 3])


@hypothesis.given(cases(), seeds, slots)
def test_every_run_obeys_the_rules_and_ends(case: Case, seed: int, at_once: int | None) -> None:
    """The rules are checked by ``World`` for every command."""
    world = World(case, random.Random(seed), slots=at_once)
    assert world.run() in {st.SUCCESS, st.REVERTED, st.REVERT_FAILURE, st.FAILURE}


@hypothesis.given(cases())
def test_serial_runs_obey_the_rules_and_end(case: Case) -> None:
    assert World(case, slots=1, in_batches=True).run() is not None


@hypothesis.given(cases(), seeds, slots)
def test_the_same_events_give_the_same_commands(case: Case, seed: int, at_once: int | None) -> None:
    world = World(case, random.Random(seed), slots=at_once)
    world.run()
    assert world.replayed() == [commands for _, commands in world.log]


@hypothesis.given(cases(replace(CHANCES, retry=0, revert_fail=0, option=0)), seeds)
def test_without_retries_everything_is_reverted(case: Case, seed: int) -> None:
    world = World(case, random.Random(seed))
    if world.run() == st.REVERTED:
        assert {*world.states} <= CLEAR
    assert world.executions == [
        reverted + (state == st.SUCCESS)
        for reverted, state in zip(world.reversions, world.states, strict=True)
    ]


@hypothesis.given(cases(), seeds, strategies.lists(strategies.integers(0, 12), max_size=4), slots)
def test_suspended_and_resumed_runs_obey_the_rules(
    case: Case, seed: int, suspensions: list[int], at_once: int | None
) -> None:
    world = World(case, random.Random(seed), slots=at_once)
    for suspension in suspensions:
        if world.run(suspend_at=suspension) != st.SUSPENDED:
            return
    assert world.run() in {st.SUCCESS, st.REVERTED, st.REVERT_FAILURE, st.FAILURE}


#: After a failed revert the rollback stops, so the final states depend on what had started by then.
NO_PARKING = replace(CHANCES, revert_fail=0)


def plain(case: Case) -> Case:
    """Return the case without options."""
    return replace(case, options=())


def same_end(whole: World, broken: World) -> None:
    """Check that two runs end in the same states."""
    assert whole.final_state == broken.final_state
    assert dict(zip(whole.plan.names, whole.states, strict=True)) == dict(
        zip(broken.plan.names, broken.states, strict=True)
    )


@hypothesis.given(cases(NO_PARKING), strategies.lists(strategies.integers(0, 12), min_size=1, max_size=4))
def test_suspended_serial_run_ends_the_same(case: Case, suspensions: list[int]) -> None:
    whole, broken = (World(plain(case), slots=1, in_batches=True) for _ in range(2))
    whole.run()
    for suspension in suspensions:
        if broken.run(suspend_at=suspension) != st.SUSPENDED:
            break
    else:
        broken.run()
    same_end(whole, broken)


@hypothesis.given(cases(), strategies.lists(strategies.integers(1, 12), min_size=1, max_size=4))
def test_killed_serial_run_ends_the_same(case: Case, lives: list[int]) -> None:
    whole, broken = (World(plain(case), slots=1, in_batches=True) for _ in range(2))
    whole.run()
    for steps in lives:
        if broken.run(steps=steps) is not None:
            break
    else:
        broken.run()
    same_end(whole, broken)


@hypothesis.given(
    cases(NO_PARKING),
    seeds,
    strategies.lists(strategies.integers(1, 12), max_size=4),
    slots,
)
def test_killed_run_ends_the_same_in_any_order(
    case: Case, seed: int, lives: list[int], at_once: int | None
) -> None:
    """The order of completions may change what an atom does, but not whether the flow succeeds.

    That holds for tasks that fail always or never: how often a task runs may depend on the order.
    """
    whole, broken = World(steady(case), slots=1), World(steady(case), random.Random(seed), slots=at_once)
    whole.run()
    for steps in lives:
        if broken.run(steps=steps) is not None:
            break
    else:
        broken.run()
    assert whole.final_state == broken.final_state


def steady(case: Case) -> Case:
    """Return the case with tasks that fail always or never, and no options."""
    return replace(plain(case), flow=_steady(case.flow))


def _steady(flow):
    children = tuple(
        _steady(child)
        if hasattr(child, "children")
        else replace(child, fails=-1 if child.fails else 0, revert_fails=0)
        for child in flow.children
    )
    links = tuple(
        replace(link, answer="no" if link.answer == "second" else link.answer) for link in flow.links
    )
    return replace(flow, children=children, links=links)


def test_cases_reach_every_state() -> None:
    """The drawn flows reach every state of an atom and every final state of a flow."""
    ends, states, retries = set(), set(), set()
    for seed in range(300):
        case = seeded_case(seed, chances=CHANCES)
        world = World(case, random.Random(seed))
        ends.add(world.run())
        states.update(
            state for _, commands in world.log for state in (getattr(x, "state", None) for x in commands)
        )
        retries |= {atom.kind for atom in case.flow.atoms() if isinstance(atom, RetrySpec)}
    assert ends == {st.SUCCESS, st.REVERTED, st.REVERT_FAILURE, st.FAILURE}
    assert {st.RETRYING, st.IGNORE, st.REVERT_FAILURE, st.REVERTED} <= states
    assert len(retries) == 5


@pytest.mark.parametrize("kind", ["linear", "unordered", "graph"])
def test_flow_without_atoms_succeeds(kind: str) -> None:
    from tests.support.random_flows import FlowSpec

    assert World(Case(FlowSpec("empty", kind, ()))).run() == st.SUCCESS
