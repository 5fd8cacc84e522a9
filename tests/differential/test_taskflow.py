"""The same random flows on TaskFlow and here: states, calls of each atom, values and errors."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace

import pytest

from stackl_flow import engines
from stackl_flow.engines.loop import Loop
from tests.differential.known import BREAKS, FORGETS, SIBLINGS, SUSPENDED, explain, translated
from tests.differential.shrink import shrink
from tests.differential.theirs import orders, run_theirs
from tests.support import summaries
from tests.support.random_flows import OURS, Case, Outcome, RetrySpec, run_case, seeded_case
from tests.support.random_flows.generate import replace_task

pytestmark = pytest.mark.slow

FLOWS = int(os.environ.get("STACKL_FLOW_DIFFERENTIAL_FLOWS", "4000"))
BATCHES = 40
ENDS = {"SUCCESS", "REVERTED", "FAILURE", "REVERT_FAILURE"}
#: Orders that are tried before intended differences are considered.
FIXED = 4
#: Random orders to try after the fixed ones before a case counts as different.
SHUFFLES = 400
#: Random orders to try before TaskFlow counts as failing in every order.
FEW = 12


@pytest.fixture(autouse=True)
def missing_values_end_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task without the value of an argument ends the run, as on TaskFlow and under ``compat``.

    Here it is the failure of that task, which is reverted; the tests of engines show that.
    """
    monkeypatch.setattr(Loop, "missing_value_ends_run", True)


class FinishingEngines:
    """`stackl_flow.engines`, with the rule of TaskFlow and of compat for the siblings of a failed task."""

    @staticmethod
    def load(flow, **options):
        engine = engines.load(flow, **options)
        engine.finish_selected = True
        return engine


FINISHING = replace(OURS, engines=FinishingEngines)


def classify(case: Case) -> str:
    """Return the order in which TaskFlow has our outcome, or the intended differences, or ""."""
    ours = run_case(case, FINISHING)
    found = classify_outcome(case, ours)
    native = run_case(case)
    if not found or not native.differences(ours):
        return found
    # Without a failure, the rule makes no difference.
    failed = any(ours.raised) or any(call.result and " execute " in call.result for _, call in ours.order)
    ended = native.flow_states[-1:] and native.flow_states[-1] in ENDS
    return SIBLINGS if failed and ended else ""


def classify_outcome(case: Case, ours: Outcome) -> str:
    """Return the order in which TaskFlow has this outcome, or the intended differences, or ""."""
    agreement = ends_alike(case, ours, 0)
    if agreement:
        return agreement
    ended = ours.flow_states[-1:] and ours.flow_states[-1] in ENDS
    if ended and all(breaks(translated(run_theirs(case, order))) for _, order in orders(case, FEW)):
        return BREAKS
    if case.runs > 1 and forgets(case):
        once = replace(case, runs=1)
        return classify_outcome(once, run_case(once, FINISHING)) and FORGETS
    agreement = ends_alike(case, ours, SHUFFLES)
    suspending = [task.name for task in case.flow.tasks() if task.suspends]
    if not agreement and suspending and ended:
        other = replace(case, flow=replace_task(case.flow, suspending[0], suspends=False))
        return classify_outcome(other, run_case(other, FINISHING)) and SUSPENDED
    return agreement


def ends_alike(case: Case, ours: Outcome, shuffles: int) -> str:
    """Return the order in which TaskFlow has our outcome, or the intended differences, or ""."""
    known = ""
    for at, (name, order) in enumerate(orders(case, shuffles)):
        theirs = translated(run_theirs(case, order))
        if not ours.differences(theirs):
            return name
        known = known or explain(case, ours, theirs)
        if known and at >= FIXED - 1:
            return known
    return known


def breaks(theirs: Outcome) -> bool:
    """Whether TaskFlow itself failed."""
    return "RUNNING" in theirs.flow_states or any("StorageFailure" in raised for raised in theirs.raised)


def forgets(case: Case) -> bool:
    """Whether a retry has not been reverted although the flow has."""
    first = run_case(replace(case, runs=1), FINISHING)
    retries = [atom.name for atom in case.flow.atoms() if isinstance(atom, RetrySpec)]
    return first.flow_states[-1:] == ("REVERTED",) and any(
        first.atom_states[name] == "SUCCESS" for name in retries
    )


def describe_difference(case: Case) -> str:
    """Format a case and the differences of its outcomes."""
    ours = run_case(case, FINISHING)
    theirs = {name: translated(run_theirs(case, order)) for name, order in orders(case, 0)}
    lines = [f"{name}: {line}" for name, outcome in theirs.items() for line in ours.differences(outcome)]
    return "\n".join([str(case), "ours != theirs", *lines])


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_flows_end_as_on_taskflow(batch: int) -> None:
    for seed in range(batch, FLOWS, BATCHES):
        case = seeded_case(seed)
        found = classify(case)
        order = "another order of TaskFlow's" if found.startswith("shuffle") else found or "DIFFERENT"
        summaries.count("random flows on TaskFlow and here", order)
        assert found, f"seed {seed}\n{describe_difference(shrink(case, lambda other: not classify(other)))}"


def test_the_random_flows_cover_all_states() -> None:
    """The flows of the test above reach every state, and most of them are valid."""
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
