"""Killed at each write to its directory and resumed, a flow ends as without a crash."""

import random
import signal

import pytest

from stackl_flow.persistence import backends
from stackl_flow.testing.crash import in_child
from tests.crash.driver import AT_WORK, Run, drive, drive_in_child
from tests.crash.scenarios import BY_NAME
from tests.crash.test_kill import check
from tests.support.file_calls import FileCalls

pytestmark = pytest.mark.slow


class DirectoryRun(Run):
    """A run whose flow is stored in a directory."""

    def __init__(self, directory, options=""):
        super().__init__(directory)
        directory.mkdir()
        self.directory_url = f"dir://{directory}/flows{options}"

    @property
    def url(self):
        return self.directory_url

    def states(self):
        with backends.fetch(self.url) as backend, backend.get_connection() as conn:
            for record in conn.list_flow_records():
                atoms = {atom.name: atom.state for atom in conn.get_atoms_for_flow(record.uuid)}
                return {**atoms, "": record.state}
        return {}

    def drive(self, scenario, at):
        """Drive in a child that is killed before its n-th call that changes a file; return the status."""

        def work():
            calls = FileCalls(at)
            with calls.counted():
                drive(scenario, self)
            self.counted.write_text(str(calls.made))

        return in_child(work)


@pytest.mark.parametrize("name", ["linear", "reverted", "retried", "parallel_reverted"])
def test_killed_at_every_checkpoint(name, tmp_path):
    scenario = BY_NAME[name]
    whole = DirectoryRun(tmp_path / "whole")
    assert drive_in_child(scenario, whole) == 0
    assert whole.states()[""] == scenario.ends
    for at in range(1, int(whole.counted.read_text()) + 1):
        run = DirectoryRun(tmp_path / f"at{at}")
        ended = drive_in_child(scenario, run, at)
        if scenario.engine == "parallel" and ended == 0:
            continue  # more tasks finished at the same time, so that there were fewer writes
        assert ended == -signal.SIGKILL
        states_left = run.states()
        assert drive_in_child(scenario, run) == 0
        check(run, whole, {name for name, state in states_left.items() if state in AT_WORK})


@pytest.mark.parametrize(
    ("name", "options", "share"),
    [("reverted", "", 1), ("reverted", "?journal_size=2000", 0.5), ("retried", "", 0.3)],
)
def test_killed_at_every_call_that_changes_a_file(name, options, share, tmp_path):
    scenario = BY_NAME[name]
    whole = DirectoryRun(tmp_path / "whole", options)
    assert whole.drive(scenario, 0) == 0
    points = int(whole.counted.read_text())
    assert points > 30
    for at in sorted(random.Random(name).sample(range(1, points + 1), int(points * share))):
        run = DirectoryRun(tmp_path / f"at{at}", options)
        assert run.drive(scenario, at) == -signal.SIGKILL, at
        states_left = run.states()
        assert run.drive(scenario, 0) == 0, at
        check(run, whole, {name for name, state in states_left.items() if state in AT_WORK})
