"""After a power failure a directory store has every commit that returned.

The simulated disk keeps as little as it may: of a file the data of its last sync, of a folder the names at
its last sync. The power fails once at every call that changes a file. This test runs on a real disk, where
syncs are not free.
"""

import os
import stat
from pathlib import Path

import pytest

from stackl_flow.kv import backends
from stackl_flow.kv.backends.directory import store as directory
from stackl_flow.kv.items import Put
from tests.kv.test_directory_crash import STEPS, states
from tests.support.file_calls import CALLS


class Disk:
    """Records what would remain after a power failure.

    Args:
        root: the folder to observe; it must exist.
    """

    def __init__(self, root):
        self.root = root
        self.names = {root.stat().st_ino: {}}
        self.is_observing = True
        self.data = {}
        self.open = []  # so that no inode is reused
        self.real = {name: getattr(os, name) for name in CALLS}

    def record_sync(self, handle):
        result = os.fstat(handle)
        path = f"/proc/self/fd/{handle}"
        if stat.S_ISDIR(result.st_mode):
            self.names[result.st_ino] = {
                entry.name: (entry.lstat().st_ino, stat.S_ISDIR(entry.lstat().st_mode))
                for entry in Path(path).iterdir()
            }
        else:
            self.data[result.st_ino] = Path(path).read_bytes()
        self.open.append(os.dup(handle))

    def restore(self, into, inode=None):
        """Write what remains of the folder into another one."""
        into.mkdir()
        for name, (number, is_folder) in self.names.get(inode or self.root.stat().st_ino, {}).items():
            if is_folder:
                self.restore(into / name, number)
            else:
                (into / name).write_bytes(self.data.get(number, b""))

    def close(self):
        for handle in self.open:
            os.close(handle)


def fail_at_every_call(options, tmp_path, monkeypatch):
    """Yield for each power failure the number of commits that had returned, and the remaining items."""
    root = tmp_path / "store"
    root.mkdir()
    disk, committed, failures = Disk(root), [0], []

    def observed(name, call):
        def calling(*args, **kwargs):
            if not disk.is_observing:
                return call(*args, **kwargs)
            disk.is_observing = False
            failures.append(committed[0])
            disk.restore(tmp_path / f"failure{len(failures)}")
            disk.is_observing = True
            result = call(*args, **kwargs)
            if name in {"fsync", "fdatasync"}:
                disk.record_sync(args[0])
            return result

        return calling

    with backends.fetch(f"dir://{root}/kv?{options}") as kv, monkeypatch.context() as patch:
        for name, call in disk.real.items():
            patch.setattr(os, name, observed(name, call))
        for number, (checks, puts, deletes) in enumerate(STEPS, start=1):
            kv.commit(checks, [*puts, Put("done", str(number))], deletes)
            committed[0] = number
    failures.append(committed[0])
    disk.restore(tmp_path / f"failure{len(failures)}")
    disk.close()
    for number, done in enumerate(failures, start=1):
        with backends.fetch(f"dir://{tmp_path}/failure{number}/kv") as kv:
            yield done, {item.key: item.value for item in kv.list()}


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="reads open files by their handles"
)


@needs_proc
@pytest.mark.parametrize(
    ("options", "batch"),
    [("journal_size=1", 128), ("journal_size=700", 1), ("journal_size=1200", 1), ("", 128)],
)
def test_power_failure_at_every_call(options, batch, disk_path, monkeypatch):
    monkeypatch.setattr(directory, "_COMPACT_BATCH", batch)
    after = states()
    for done, items in fail_at_every_call(options, disk_path, monkeypatch):
        reached = int(items.pop("done", "0"))
        assert reached in {done, done + 1}
        assert items == after[reached]


@needs_proc
def test_what_is_not_synced_is_lost(tmp_path, monkeypatch):
    """The simulated disk loses what is not synced: a store without sync keeps nothing."""
    *_, (done, items) = fail_at_every_call("sync=no", tmp_path, monkeypatch)
    assert (done, items) == (len(STEPS), {})
