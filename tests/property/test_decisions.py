"""What holds for every flow, whatever fails in it and in whatever order its calls come back."""

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

#: Nothing that is refused, and no break but those that a test makes.
CHANCES = Chances(odd=0, suspend=0, again=0, fail=0.25)


def cases(chances: Chances = CHANCES) -> strategies.SearchStrategy[Case]:
    """Draw cases by number: shrinking every throw of the dice would take minutes."""
    return strategies.integers(0, 2**40).map(lambda seed: seeded_case(seed, chances=chances)).filter(accepted)


def accepted(case: Case) -> bool:
    """Say whether the case has a plan."""
    try:
        plan_for(case)
    except StacklFlowError:
        return False
    return True


seeds = strategies.integers(0, 2**32)
slots = strategies.sampled_from([None, 1, 2, 3])


@hypothesis.given(cases(), seeds, slots)
def test_every_run_keeps_the_rules_and_ends(case: Case, seed: int, at_once: int | None) -> None:
    """The rules themselves stand in the world: see there what every command is checked for."""
    world = World(case, random.Random(seed), slots=at_once)
    assert world.run() in {st.SUCCESS, st.REVERTED, st.REVERT_FAILURE, st.FAILURE}


@hypothesis.given(cases())
def test_serial_runs_keep_the_rules_and_end(case: Case) -> None:
    assert World(case, slots=1, in_batches=True).run() is not None


@hypothesis.given(cases(), seeds, slots)
def test_the_same_events_give_the_same_commands(case: Case, seed: int, at_once: int | None) -> None:
    world = World(case, random.Random(seed), slots=at_once)
    world.run()
    assert world.replayed() == [commands for _, commands in world.log]


@hypothesis.given(cases(replace(CHANCES, retry=0, revert_fail=0, option=0)), seeds)
def test_without_retries_all_is_undone(case: Case, seed: int) -> None:
    world = World(case, random.Random(seed))
    if world.run() == st.REVERTED:
        assert {*world.states} <= CLEAR
    assert world.executions == [
        reverted + (state == st.SUCCESS)
        for reverted, state in zip(world.reversions, world.states, strict=True)
    ]


@hypothesis.given(cases(), seeds, strategies.lists(strategies.integers(0, 12), max_size=4), slots)
def test_suspended_and_resumed_the_rules_hold(
    case: Case, seed: int, pauses: list[int], at_once: int | None
) -> None:
    world = World(case, random.Random(seed), slots=at_once)
    for pause in pauses:
        if world.run(suspend_at=pause) != st.SUSPENDED:
            return
    assert world.run() in {st.SUCCESS, st.REVERTED, st.REVERT_FAILURE, st.FAILURE}


#: Where a revert fails the rest of the rollback waits, so what is left depends on what had begun until then.
NO_PARKING = replace(CHANCES, revert_fail=0)


def plain(case: Case) -> Case:
    """Return the case without options."""
    return replace(case, options=())


def same_end(whole: World, broken: World) -> None:
    """Compare two runs."""
    assert whole.rest == broken.rest
    assert dict(zip(whole.plan.names, whole.states, strict=True)) == dict(
        zip(broken.plan.names, broken.states, strict=True)
    )


@hypothesis.given(cases(NO_PARKING), strategies.lists(strategies.integers(0, 12), min_size=1, max_size=4))
def test_suspended_a_serial_run_ends_the_same(case: Case, pauses: list[int]) -> None:
    whole, broken = (World(plain(case), slots=1, in_batches=True) for _ in range(2))
    whole.run()
    for pause in pauses:
        if broken.run(suspend_at=pause) != st.SUSPENDED:
            break
    else:
        broken.run()
    same_end(whole, broken)


@hypothesis.given(cases(), strategies.lists(strategies.integers(1, 12), min_size=1, max_size=4))
def test_killed_a_serial_run_ends_the_same(case: Case, lives: list[int]) -> None:
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
def test_killed_in_any_order_the_flow_ends_the_same(
    case: Case, seed: int, lives: list[int], at_once: int | None
) -> None:
    """Which sibling comes back first may change what an atom does, but not whether the flow succeeds.

    That holds where a task fails always or never: how often it has run may well depend on the order.
    """
    whole, broken = World(steady(case), slots=1), World(steady(case), random.Random(seed), slots=at_once)
    whole.run()
    for steps in lives:
        if broken.run(steps=steps) is not None:
            break
    else:
        broken.run()
    assert whole.rest == broken.rest


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


def test_the_cases_reach_everything() -> None:
    """The flows drawn here are worth drawing: every state of an atom and every end of a flow is reached."""
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
def test_a_flow_without_atoms_succeeds(kind: str) -> None:
    from tests.support.random_flows import FlowSpec

    assert World(Case(FlowSpec("empty", kind, ()))).run() == st.SUCCESS
