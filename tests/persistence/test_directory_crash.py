"""Killed at every write of its directory, a flow ends as it ends when nobody kills it."""

import random
import signal

import pytest

from stackl_flow.persistence import backends
from stackl_flow.testing.crash import in_child
from tests.crash.driver import AT_WORK, Place, drive, drive_in_child
from tests.crash.scenarios import BY_NAME
from tests.crash.test_kill import check
from tests.support.file_calls import FileCalls


class InDirectory(Place):
    """The place of one run, with its flow in a directory."""

    def __init__(self, directory, options=""):
        super().__init__(directory)
        directory.mkdir()
        self.address = f"dir://{directory}/flows{options}"

    @property
    def url(self):
        return self.address

    def states(self):
        with backends.fetch(self.url) as backend, backend.get_connection() as conn:
            for record in conn.list_flow_records():
                atoms = {atom.name: atom.state for atom in conn.get_atoms_for_flow(record.uuid)}
                return {**atoms, "": record.state}
        return {}

    def drive(self, scenario, at):
        """Drive in a child that dies before its at-th call that changes a file; return how it ended."""

        def work():
            calls = FileCalls(at)
            with calls.counted():
                drive(scenario, self)
            self.counted.write_text(str(calls.made))

        return in_child(work)


@pytest.mark.parametrize("name", ["linear", "reverted", "retried", "parallel_reverted"])
def test_killed_at_every_checkpoint(name, tmp_path):
    scenario = BY_NAME[name]
    whole = InDirectory(tmp_path / "whole")
    assert drive_in_child(scenario, whole) == 0
    assert whole.states()[""] == scenario.ends
    for at in range(1, int(whole.counted.read_text()) + 1):
        place = InDirectory(tmp_path / f"at{at}")
        ended = drive_in_child(scenario, place, at)
        if scenario.engine == "parallel" and ended == 0:
            continue  # more came back together this time, so that fewer writes were needed
        assert ended == -signal.SIGKILL
        left = place.states()
        assert drive_in_child(scenario, place) == 0
        check(place, whole, {name for name, state in left.items() if state in AT_WORK})


@pytest.mark.parametrize(
    ("name", "options", "share"),
    [("reverted", "", 1), ("reverted", "?journal_size=2000", 0.5), ("retried", "", 0.3)],
)
def test_killed_at_every_call_that_changes_a_file(name, options, share, tmp_path):
    scenario = BY_NAME[name]
    whole = InDirectory(tmp_path / "whole", options)
    assert whole.drive(scenario, 0) == 0
    points = int(whole.counted.read_text())
    assert points > 30
    for at in sorted(random.Random(name).sample(range(1, points + 1), int(points * share))):
        place = InDirectory(tmp_path / f"at{at}", options)
        assert place.drive(scenario, at) == -signal.SIGKILL, at
        left = place.states()
        assert place.drive(scenario, 0) == 0, at
        check(place, whole, {name for name, state in left.items() if state in AT_WORK})
