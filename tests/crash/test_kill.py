"""Killed at each write point and resumed, a flow ends as without a crash."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from stackl_flow import states
from tests.crash.driver import AT_WORK, Run, drive_in_child
from tests.crash.scenarios import SCENARIOS, Scenario

pytestmark = pytest.mark.slow

every_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)


def reference(scenario: Scenario, tmp_path: Path, template: Path) -> tuple[Run, int]:
    """Run without a crash; return the run and its number of write points."""
    run = Run(tmp_path / "reference", template)
    assert drive_in_child(scenario, run) == 0
    assert run.states()[""] == scenario.ends
    return run, int(run.counted.read_text())


def without_one_repeat(lines: list[str], expected: list[str]) -> bool:
    """Whether the lines are the expected ones, or these with one of them repeated."""
    return any(
        lines == expected[:at] + expected[at - 1 : at] + expected[at:] for at in range(len(expected) + 1)
    )


def check(run: Run, whole: Run, interrupted: set[str]) -> None:
    """Compare a killed run with the whole one: only atoms that were running may have repeated one call."""
    assert run.states() == whole.states()
    done, expected = run.done(), whole.done()
    assert set(done) == set(expected)
    for name, lines in done.items():
        if name in interrupted:
            assert without_one_repeat(lines, expected[name]), name
        else:
            assert lines == expected[name], name


@every_scenario
def test_killed_at_every_write_point(scenario: Scenario, tmp_path: Path, template: Path) -> None:
    whole, points = reference(scenario, tmp_path, template)
    assert points > 2 * len(whole.states())
    for at in range(1, points + 1):
        run = Run(tmp_path / f"at{at}", template)
        ended = drive_in_child(scenario, run, at)
        if scenario.engine == "parallel" and ended == 0:
            continue  # more tasks finished at the same time, so that there were fewer writes
        assert ended == -signal.SIGKILL
        states_left = run.states()
        assert drive_in_child(scenario, run) == 0
        check(run, whole, {name for name, state in states_left.items() if state in AT_WORK})


@every_scenario
def test_recorded_work_is_not_repeated(scenario: Scenario, tmp_path: Path, template: Path) -> None:
    """Kill each resuming process soon after its start: at most one repetition for each kill."""
    whole, points = reference(scenario, tmp_path, template)
    run = Run(tmp_path / "killed", template)
    allowed = {name: len(lines) for name, lines in whole.done().items()}
    for _ in range(points):
        ended = drive_in_child(scenario, run, at=5)
        for name, state in run.states().items():
            if name and state in AT_WORK:
                allowed[name] = allowed.get(name, 0) + 1  # some atoms write no line
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
    assert drive_in_child(scenario, run) == 0
    assert run.states() == whole.states()
    for name, lines in run.done().items():
        assert sorted(set(lines)) == sorted(set(whole.done()[name]))
        assert len(lines) <= allowed[name]


@every_scenario
def test_the_history_is_contiguous(scenario: Scenario, tmp_path: Path, template: Path) -> None:
    """After a crash the stored transitions are contiguous and allowed."""
    _, points = reference(scenario, tmp_path, template)
    run = Run(tmp_path / "killed", template)
    assert drive_in_child(scenario, run, points // 2) == -signal.SIGKILL
    assert drive_in_child(scenario, run) == 0
    allowed = {*states.RETRY_TRANSITIONS, *states.FLOW_TRANSITIONS}
    last: dict[str, str] = {}
    for name, old, new in run.history():
        assert old == last.get(name, old)
        assert (old, new) in allowed or (old == new and new in AT_WORK)  # started again after the crash
        last[name] = new
