"""Killed at every write point in turn, a flow ends as it ends when nobody kills it."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from stackl_flow import states
from tests.crash.driver import AT_WORK, Place, drive_in_child
from tests.crash.scenarios import SCENARIOS, Scenario

every_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)


def reference(scenario: Scenario, tmp_path: Path, template: Path) -> tuple[Place, int]:
    """Run without a crash; return where, and how many write points it passed."""
    place = Place(tmp_path / "reference", template)
    assert drive_in_child(scenario, place) == 0
    assert place.states()[""] == scenario.ends
    return place, int(place.counted.read_text())


def without_one_repeat(lines: list[str], wanted: list[str]) -> bool:
    """Say whether the lines are the wanted ones, or those with one of them done twice in a row."""
    return any(lines == wanted[:at] + wanted[at - 1 : at] + wanted[at:] for at in range(len(wanted) + 1))


def check(place: Place, whole: Place, interrupted: set[str]) -> None:
    """Compare a killed run with the whole one: only atoms that were at work may have done one thing twice."""
    assert place.states() == whole.states()
    done, wanted = place.done(), whole.done()
    assert set(done) == set(wanted)
    for name, lines in done.items():
        if name in interrupted:
            assert without_one_repeat(lines, wanted[name]), name
        else:
            assert lines == wanted[name], name


@every_scenario
def test_killed_at_every_write_point(scenario: Scenario, tmp_path: Path, template: Path) -> None:
    whole, points = reference(scenario, tmp_path, template)
    assert points > 2 * len(whole.states())
    for at in range(1, points + 1):
        place = Place(tmp_path / f"at{at}", template)
        ended = drive_in_child(scenario, place, at)
        if scenario.engine == "parallel" and ended == 0:
            continue  # more came back together this time, so that fewer writes were needed
        assert ended == -signal.SIGKILL
        left = place.states()
        assert drive_in_child(scenario, place) == 0
        check(place, whole, {name for name, state in left.items() if state in AT_WORK})


@every_scenario
def test_what_was_recorded_as_done_is_not_done_again(
    scenario: Scenario, tmp_path: Path, template: Path
) -> None:
    """Kill every process that resumes soon after its start: no more than one repeat a kill."""
    whole, points = reference(scenario, tmp_path, template)
    place = Place(tmp_path / "killed", template)
    allowed = {name: len(lines) for name, lines in whole.done().items()}
    for _ in range(points):
        ended = drive_in_child(scenario, place, at=5)
        for name, state in place.states().items():
            if name and state in AT_WORK:
                allowed[name] = allowed.get(name, 0) + 1  # some atoms leave no line
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
    assert drive_in_child(scenario, place) == 0
    assert place.states() == whole.states()
    for name, lines in place.done().items():
        assert sorted(set(lines)) == sorted(set(whole.done()[name]))
        assert len(lines) <= allowed[name]


@every_scenario
def test_the_history_is_unbroken(scenario: Scenario, tmp_path: Path, template: Path) -> None:
    """Killed half-way, the stored moves still join end to end and are all allowed."""
    _, points = reference(scenario, tmp_path, template)
    place = Place(tmp_path / "killed", template)
    assert drive_in_child(scenario, place, points // 2) == -signal.SIGKILL
    assert drive_in_child(scenario, place) == 0
    allowed = {*states.RETRY_TRANSITIONS, *states.FLOW_TRANSITIONS}
    last: dict[str, str] = {}
    for name, old, new in place.history():
        assert old == last.get(name, old)
        assert (old, new) in allowed or (old == new and new in AT_WORK)  # begun again after the crash
        last[name] = new
