"""The same in fresh interpreters, where nothing survives a kill that a fork would keep. They start slowly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stackl_flow.testing.crash import VARIABLE
from tests.crash.driver import AT_WORK, Run
from tests.crash.scenarios import BY_NAME, Scenario
from tests.crash.test_kill import check, reference

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def run_fresh(scenario: Scenario, directory: Path, at: int) -> int:
    command = [sys.executable, "-m", "tests.crash.child", scenario.name, str(directory)]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, VARIABLE: str(at)}, check=False).returncode


@pytest.mark.parametrize("name", ["retried", "reverted", "parallel"])
@pytest.mark.parametrize("part", [0.4, 0.75])
def test_killed_and_resumed_in_fresh_interpreters(
    name: str, part: float, tmp_path: Path, template: Path
) -> None:
    scenario = BY_NAME[name]
    whole, points = reference(scenario, tmp_path, template)
    run = Run(tmp_path / "killed", template)
    assert run_fresh(scenario, tmp_path / "killed", int(points * part)) == -signal.SIGKILL
    interrupted = {atom for atom, state in run.states().items() if state in AT_WORK}
    assert run_fresh(scenario, tmp_path / "killed", 0) == 0
    check(run, whole, interrupted)
