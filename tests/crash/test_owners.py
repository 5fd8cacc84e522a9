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
        owned = place.epoch() > 0
        assert drive_in_child(scenario, place) == 0
        before = place.rows()
        os.kill(paused, signal.SIGCONT)
        ended = wait_child(paused)
        if not owned:
            continue  # the paused one takes the flow over when it wakes: it is the later owner then
        lost += ended == LOST
        assert ended == LOST or at == points
        assert place.rows() == before
    assert lost > points // 2


def test_two_resume_at_once_and_the_later_owner_wins(tmp_path: Path, template: Path) -> None:
    """Both have taken the flow over, one after the other, before either runs; then both run."""
    scenario = BY_NAME["linear"]
    place = Place(tmp_path / "place", template)
    assert drive_in_child(scenario, place, at=12) == -signal.SIGKILL
    children, gates = [], []
    for _ in range(2):
        (wait, go), (heard, ready) = os.pipe(), os.pipe()
        children.append(start_child(lambda wait=wait, ready=ready: _run(scenario, place, wait, ready)))
        os.close(wait)
        os.close(ready)
        assert os.read(heard, 1) == b"r"
        os.close(heard)
        gates.append(go)
    for gate in gates:
        os.write(gate, b"g")
        os.close(gate)
    assert [wait_child(child) for child in children] == [LOST, 0]
    assert place.states() == {"": "SUCCESS", "a": "SUCCESS", "b": "SUCCESS", "c": "SUCCESS"}


@pytest.mark.parametrize("number", range(8))
def test_a_race_to_resume_has_one_winner(number: int, tmp_path: Path, template: Path) -> None:
    """Nobody holds anybody back: whoever loses ownership stops, and the flow is finished once."""
    scenario = BY_NAME["retried"]
    place = Place(tmp_path / "place", template)
    assert drive_in_child(scenario, place, at=14) == -signal.SIGKILL
    done = len(place.ledger.lines())
    children = [start_child(lambda: _run(scenario, place, None, None)) for _ in range(2)]
    ends = sorted(wait_child(child) for child in children)
    assert ends in ([0, 0], [0, LOST])  # the second may come when the first has finished
    assert place.states()[""] == "SUCCESS"
    assert {*place.states().values()} == {"SUCCESS"}
    assert len(place.ledger.lines()) > done
    assert sum(new == "SUCCESS" for name, _, new in place.history() if name == "e") == 1


def _run(scenario, place: Place, wait: int | None, ready: int | None) -> None:
    """Take the flow over, say so, wait until told, and run."""
    try:
        engine = load(scenario, place, backends.fetch(place.url))
        engine.compile()
        engine.prepare()
        if wait is not None and ready is not None:
            os.write(ready, b"r")
            os.read(wait, 1)
        with contextlib.suppress(Boom):
            engine.run()
    except exceptions.OwnershipLost:
        os._exit(LOST)
