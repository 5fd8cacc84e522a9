"""The same random flows on TaskFlow and on us: states, each atom's calls, values seen, errors raised."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from stackl_flow.testing.flows import Case, Outcome, run_case, seeded_case
from tests.differential.known import KNOWN, translated
from tests.differential.shrink import shrink
from tests.differential.tally import TALLY
from tests.differential.theirs import orders, run_theirs

FLOWS = int(os.environ.get("STACKL_FLOW_DIFFERENTIAL_FLOWS", "4000"))
BATCHES = 40
#: Random orders tried on TaskFlow, after the four fixed ones, before a difference counts as one.
SHUFFLES = 60


def verdict(case: Case) -> str:
    """Return the order in which TaskFlow ends as we do, the known difference, or "" for neither."""
    ours = run_case(case)
    seen: list[Outcome] = []
    for name, order in orders(case, SHUFFLES):
        theirs = translated(run_theirs(case, order))
        if not ours.differences(theirs):
            return name
        seen.append(theirs)
    for known in KNOWN:
        if any(known.explains(case, ours, theirs) for theirs in seen):
            return known.name
    return ""


def story(case: Case) -> str:
    """Tell a difference: the case, and how each side ended."""
    ours = run_case(case)
    theirs = {name: translated(run_theirs(case, order)) for name, order in orders(case, 0)}
    told = [f"{name}: {line}" for name, outcome in theirs.items() for line in ours.differences(outcome)]
    return "\n".join([str(case), "ours != theirs", *told])


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_flows_end_as_on_taskflow(batch: int) -> None:
    for seed in range(batch, FLOWS, BATCHES):
        case = seeded_case(seed)
        found = verdict(case)
        TALLY.count(found)
        assert found, f"seed {seed}\n{story(shrink(case, lambda other: not verdict(other)))}"


def test_the_random_flows_are_worth_running() -> None:
    """The flows of the test above reach every state, and most of them are accepted by both libraries."""
    states: Counter[str] = Counter()
    for seed in range(300):
        outcome = run_case(seeded_case(seed))
        states.update(outcome.atom_states.values())
        states.update(f"flow {state}" for state in outcome.flow_states or ("REFUSED",))
    assert states["flow REFUSED"] < 30
    reached = {
        "flow SUCCESS",
        "flow REVERTED",
        "flow REVERT_FAILURE",
        "flow FAILURE",
        "flow SUSPENDED",
        "IGNORE",
        "REVERT_FAILURE",
    }
    assert reached <= set(states), states
