"""Random flows, each killed at random write points."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from stackl_flow.testing.crash import EffectLog
from tests.crash.driver import AT_WORK, Run, drive_in_child
from tests.crash.scenarios import Scenario
from tests.crash.test_kill import check
from tests.support.random_flows import OURS, Builder, Call, Chances, Recorder, seeded_case

pytestmark = pytest.mark.slow

#: Nothing that depends on the memory of a process: no suspension, no second run.
CHANCES = Chances(suspend=0, again=0, odd=0, option=0, fail=0.25)
#: Seed 56 makes an invalid flow: an atom requires the value of an ignored one.
SEEDS = [seed for seed in range(61) if seed != 56]


class EffectLogRecorder(Recorder):
    """Writes calls to a effects; each call counts as the first, since a count is lost with its process."""

    def __init__(self, effects: EffectLog) -> None:
        super().__init__()
        self.effects = effects

    def count(self, name: str, what: str) -> int:
        return 0

    def record(self, name: str, call: Call) -> int:
        if call.what in {"execute", "revert"}:
            self.effects.append(f"{name} {call.what} {call.seen} {call.result}")
        return 1


def scenario_of(seed: int, engine: str, chances: Chances = CHANCES) -> Scenario:
    case = seeded_case(seed, chances=chances)

    def make(effects: EffectLog):
        return Builder(OURS, EffectLogRecorder(effects)).flow(case.flow)

    return Scenario(f"seed {seed}", make, engine=engine, store=case.store)


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_anywhere_a_random_flow_ends_the_same(seed: int, tmp_path: Path, template: Path) -> None:
    scenario = scenario_of(seed, "serial")
    whole = Run(tmp_path / "whole", template)
    assert drive_in_child(scenario, whole) == 0
    points = int(whole.counted.read_text())
    dice = random.Random(seed)
    for at in sorted(dice.sample(range(1, points + 1), 3)):
        run = Run(tmp_path / f"at{at}", template)
        assert drive_in_child(scenario, run, at) == -signal.SIGKILL
        interrupted = {name for name, state in run.states().items() if state in AT_WORK}
        assert drive_in_child(scenario, run) == 0
        check(run, whole, interrupted)


#: Without retries, each atom executes once, and the final state does not depend on the order.
PARALLEL_CHANCES = Chances(suspend=0, again=0, odd=0, option=0, retry=0, revert_fail=0, fail=0.25)


@pytest.mark.parametrize("seed", range(40))
def test_killed_anywhere_a_random_flow_on_threads_ends_in_the_same_state(
    seed: int, tmp_path: Path, template: Path
) -> None:
    scenario = scenario_of(seed, "parallel", PARALLEL_CHANCES)
    whole = Run(tmp_path / "whole", template)
    assert drive_in_child(scenario, whole) == 0
    points = int(whole.counted.read_text())
    dice = random.Random(seed)
    for at in sorted(dice.sample(range(1, points + 1), min(3, points))):
        run = Run(tmp_path / f"at{at}", template)
        # Threads may group their commits so that there are fewer write points than before.
        assert drive_in_child(scenario, run, at) in {-signal.SIGKILL, 0}
        before = run.states()
        interrupted = {name for name, state in before.items() if state in AT_WORK}
        executed = {name: lines.count_of("execute") for name, lines in calls_of(run).items()}
        assert drive_in_child(scenario, run) == 0
        after = run.states()
        assert after[""] == whole.states()[""]
        assert not AT_WORK.intersection(after.values())
        for name, lines in calls_of(run).items():
            again = lines.count_of("execute") - executed.get(name, 0)
            # What was recorded as done is not done again; what may have been running is done once more.
            if before.get(name) in {"SUCCESS", "REVERTED"}:
                assert again == 0, name
            elif name not in interrupted:
                assert lines.count_of("execute") <= 1, name
            if after[name] == "REVERTED":
                assert lines.count_of("revert") >= 1, name
            if after[name] == "PENDING":
                assert not lines, name


class Lines(list[str]):
    """The calls of one atom."""

    def count_of(self, action: str) -> int:
        """Count the calls of an action."""
        return sum(line.startswith(action) for line in self)


def calls_of(run: Run) -> dict[str, Lines]:
    """Return the calls of each atom."""
    return {name: Lines(lines) for name, lines in run.done().items()}
