"""After a power cut a directory holds every commit that was told to be done.

The disk is imagined as unkind as it may be: of a file it keeps what was synced last, and of a folder the
names that were there when it was synced last. At every call that changes a file the power is cut once.
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
    """Remembers what would be left after a power cut.

    Args:
        root: the folder that is watched; it is there from the beginning.
    """

    def __init__(self, root):
        self.root = root
        self.names = {root.stat().st_ino: {}}
        self.watching = True
        self.data = {}
        self.open = []  # so that no inode is used twice
        self.real = {name: getattr(os, name) for name in CALLS}

    def synced(self, handle):
        found = os.fstat(handle)
        path = f"/proc/self/fd/{handle}"
        if stat.S_ISDIR(found.st_mode):
            self.names[found.st_ino] = {
                entry.name: (entry.lstat().st_ino, stat.S_ISDIR(entry.lstat().st_mode))
                for entry in Path(path).iterdir()
            }
        else:
            self.data[found.st_ino] = Path(path).read_bytes()
        self.open.append(os.dup(handle))

    def left(self, into, inode=None):
        """Write what is left of the folder into another one."""
        into.mkdir()
        for name, (number, is_folder) in self.names.get(inode or self.root.stat().st_ino, {}).items():
            if is_folder:
                self.left(into / name, number)
            else:
                (into / name).write_bytes(self.data.get(number, b""))

    def close(self):
        for handle in self.open:
            os.close(handle)


def cut_at_every_call(options, tmp_path, monkeypatch):
    """Return for each cut how many commits were told to be done, and what is left."""
    root = tmp_path / "place"
    root.mkdir()
    disk, told, cuts = Disk(root), [0], []

    def watched(name, call):
        def calling(*args, **kwargs):
            if not disk.watching:
                return call(*args, **kwargs)
            disk.watching = False
            cuts.append(told[0])
            disk.left(tmp_path / f"cut{len(cuts)}")
            disk.watching = True
            result = call(*args, **kwargs)
            if name in {"fsync", "fdatasync"}:
                disk.synced(args[0])
            return result

        return calling

    with backends.fetch(f"dir://{root}/kv?{options}") as kv, monkeypatch.context() as patch:
        for name, call in disk.real.items():
            patch.setattr(os, name, watched(name, call))
        for number, (checks, puts, deletes) in enumerate(STEPS, start=1):
            kv.commit(checks, [*puts, Put("done", str(number))], deletes)
            told[0] = number
    cuts.append(told[0])
    disk.left(tmp_path / f"cut{len(cuts)}")
    disk.close()
    for number, done in enumerate(cuts, start=1):
        with backends.fetch(f"dir://{tmp_path}/cut{number}/kv") as kv:
            yield done, {item.key: item.value for item in kv.list()}


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at open files by number")


@needs_proc
@pytest.mark.parametrize(
    ("options", "batch"),
    [("journal_size=1", 128), ("journal_size=700", 1), ("journal_size=1200", 1), ("", 128)],
)
def test_power_cut_at_every_call(options, batch, tmp_path, monkeypatch):
    monkeypatch.setattr(directory, "_COMPACT_BATCH", batch)
    after = states()
    for done, found in cut_at_every_call(options, tmp_path, monkeypatch):
        reached = int(found.pop("done", "0"))
        assert reached in {done, done + 1}
        assert found == after[reached]


@needs_proc
def test_what_is_not_synced_is_lost(tmp_path, monkeypatch):
    """That the imagined disk is unkind: a place that does not sync keeps nothing on it."""
    *_, (done, found) = cut_at_every_call("sync=no", tmp_path, monkeypatch)
    assert (done, found) == (len(STEPS), {})
