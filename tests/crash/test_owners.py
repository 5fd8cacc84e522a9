"""Two processes with the same flow: the later owner continues, the earlier one writes nothing."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest

from stackl_flow import exceptions
from stackl_flow.persistence import backends
from stackl_flow.testing.crash import start_child, wait_child, wait_stopped
from tests.crash.driver import Run, drive, drive_in_child, load
from tests.crash.scenarios import BY_NAME, StepFailed

LOST = 7


def drive_until_lost(scenario, run: Run, at: int) -> None:
    """Drive with a SIGSTOP at a write point; exit with LOST if ownership was lost after that."""
    try:
        drive(scenario, run, at, signal.SIGSTOP)
    except exceptions.OwnershipLost:
        os._exit(LOST)


@pytest.mark.parametrize("name", ["linear", "reverted", "retried"])
def test_stopped_and_superseded_at_every_write_point(name: str, tmp_path: Path, template: Path) -> None:
    scenario = BY_NAME[name]
    whole = Run(tmp_path / "whole", template)
    assert drive_in_child(scenario, whole) == 0
    points = int(whole.counted.read_text())
    lost = 0
    for at in range(1, points + 1):
        run = Run(tmp_path / f"at{at}", template)
        paused = start_child(lambda at=at, run=run: drive_until_lost(scenario, run, at))
        assert wait_stopped(paused) is None
        owned = run.epoch() > 0
        assert drive_in_child(scenario, run) == 0
        before = run.rows()
        os.kill(paused, signal.SIGCONT)
        ended = wait_child(paused)
        if not owned:
            continue  # the stopped one takes the flow over when it continues: it is the later owner
        lost += ended == LOST
        assert ended == LOST or at == points
        assert run.rows() == before
    assert lost > points // 2


def test_two_resume_at_once_and_the_later_owner_wins(tmp_path: Path, template: Path) -> None:
    """Both have taken the flow over, one after the other, before they run."""
    scenario = BY_NAME["linear"]
    run = Run(tmp_path / "run", template)
    assert drive_in_child(scenario, run, at=12) == -signal.SIGKILL
    children, gates = [], []
    for _ in range(2):
        (wait, go), (signal_read, ready) = os.pipe(), os.pipe()
        children.append(start_child(lambda wait=wait, ready=ready: _run(scenario, run, wait, ready)))
        os.close(wait)
        os.close(ready)
        assert os.read(signal_read, 1) == b"r"
        os.close(signal_read)
        gates.append(go)
    for gate in gates:
        os.write(gate, b"g")
        os.close(gate)
    assert [wait_child(child) for child in children] == [LOST, 0]
    assert run.states() == {"": "SUCCESS", "a": "SUCCESS", "b": "SUCCESS", "c": "SUCCESS"}


@pytest.mark.parametrize("number", range(8))
def test_a_race_to_resume_has_one_winner(number: int, tmp_path: Path, template: Path) -> None:
    """Without coordination: the one that loses ownership stops, and the flow finishes once."""
    scenario = BY_NAME["retried"]
    run = Run(tmp_path / "run", template)
    assert drive_in_child(scenario, run, at=14) == -signal.SIGKILL
    done = len(run.effects.lines())
    children = [start_child(lambda: _run(scenario, run, None, None)) for _ in range(2)]
    ends = sorted(wait_child(child) for child in children)
    assert ends in ([0, 0], [0, LOST])  # the second may start when the first has finished
    assert run.states()[""] == "SUCCESS"
    assert {*run.states().values()} == {"SUCCESS"}
    assert len(run.effects.lines()) > done
    assert sum(new == "SUCCESS" for name, _, new in run.history() if name == "e") == 1


def _run(scenario, run: Run, wait: int | None, ready: int | None) -> None:
    """Take the flow over, report it, wait and run."""
    try:
        engine = load(scenario, run, backends.fetch(run.url))
        engine.compile()
        engine.prepare()
        if wait is not None and ready is not None:
            os.write(ready, b"r")
            os.read(wait, 1)
        with contextlib.suppress(StepFailed):
            engine.run()
    except exceptions.OwnershipLost:
        os._exit(LOST)
