"""Two processes with the same flow: the later owner goes on, nothing that the earlier one writes lands."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest

from stackl_flow import exceptions
from stackl_flow.persistence import backends
from stackl_flow.testing.crash import start_child, wait_child, wait_stopped
from tests.crash.driver import Place, drive, drive_in_child, load
from tests.crash.scenarios import BY_NAME, Boom

LOST = 7


def drive_and_tell(scenario, place: Place, at: int) -> None:
    """Drive, stop at a write point, and end with LOST when ownership was lost after that."""
    try:
        drive(scenario, place, at, signal.SIGSTOP)
    except exceptions.OwnershipLost:
        os._exit(LOST)


@pytest.mark.parametrize("name", ["linear", "reverted", "retried"])
def test_paused_and_superseded_at_every_write_point(name: str, tmp_path: Path, template: Path) -> None:
    scenario = BY_NAME[name]
    whole = Place(tmp_path / "whole", template)
    assert drive_in_child(scenario, whole) == 0
    points = int(whole.counted.read_text())
    lost = 0
    for at in range(1, points + 1):
        place = Place(tmp_path / f"at{at}", template)
        paused = start_child(lambda at=at, place=place: drive_and_tell(scenario, place, at))
        assert wait_stopped(paused) is None
        stored = "" in place.states()
        assert drive_in_child(scenario, place) == 0
        before = place.rows()
        os.kill(paused, signal.SIGCONT)
        ended = wait_child(paused)
        if not stored:
            continue  # the paused one had not stored its flow: the two run a flow each
        lost += ended == LOST
        assert ended == LOST or at == points
        assert place.rows() == before
    assert lost > points // 2


def test_two_resume_at_once_and_one_wins(tmp_path: Path, template: Path) -> None:
    """Both have taken the flow over before either runs: the second to do so wins."""
    scenario = BY_NAME["linear"]
    for round_ in range(10):
        place = Place(tmp_path / str(round_), template)
        assert drive_in_child(scenario, place, at=12) == -signal.SIGKILL
        start, ready = os.pipe(), os.pipe()
        children = [
            start_child(lambda place=place, s=start, r=ready: _run_on_signal(scenario, place, s[0], r[1]))
            for _ in range(2)
        ]
        for _ in children:
            os.read(ready[0], 1)
        os.write(start[1], b"gg")
        assert sorted(wait_child(child) for child in children) == [0, LOST]
        for end in (*start, *ready):
            os.close(end)
        assert place.states() == {"": "SUCCESS", "a": "SUCCESS", "b": "SUCCESS", "c": "SUCCESS"}


def _run_on_signal(scenario, place: Place, start: int, ready: int) -> None:
    engine = load(scenario, place, backends.fetch(place.url))
    engine.compile()
    engine.prepare()
    os.write(ready, b"r")
    os.read(start, 1)
    try:
        with contextlib.suppress(Boom):
            engine.run()
    except exceptions.OwnershipLost:
        os._exit(LOST)
