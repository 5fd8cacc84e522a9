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


def scenario_of(seed: int, engine: str) -> Scenario:
    case = seeded_case(seed, chances=CHANCES)

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
