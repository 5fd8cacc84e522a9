"""The directory store passes the contract suites; its files, errors and caches."""

import errno
import json
import os
import shutil

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.kv import backends
from stackl_flow.kv.backends.directory.journal import Journal
from stackl_flow.kv.items import Put
from stackl_flow.testing.clock import SteppedClock
from stackl_flow.testing.contracts.kv import ProcessContract
from tests.support.kv_machine import ComparedKVContract


class TestDirectory(ComparedKVContract, ProcessContract):
    STEPPED = True
    clock = SteppedClock()

    @pytest.fixture
    def open_kv(self, tmp_path):
        return lambda: backends.fetch(f"dir://{tmp_path}/kv", clock=self.clock)

    def pass_time(self, seconds):
        self.clock.step(seconds)

    def test_notified_by_another_process(self, kv, open_kv, tmp_path):
        super().test_notified_by_another_process(kv, open_kv)
        assert list((tmp_path / "kv" / "waiters").iterdir()) == []


class TestContinuousCompaction(TestDirectory):
    @pytest.fixture
    def open_kv(self, tmp_path):
        url = f"dir://{tmp_path}/kv?journal_size=1&sync=no&max_cache_size=2"
        return lambda: backends.fetch(url, clock=self.clock)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "kv"


def test_reads_create_nothing(root):
    with backends.fetch(f"dir://{root}") as kv:
        assert kv.get("a") is None
        assert kv.list() == []
        with kv.snapshot():
            assert kv.list() == []
    assert not root.exists()


@pytest.mark.parametrize("name", ["dir", "dir:", "file:", "directory", "file"])
def test_urls(name, root):
    with backends.fetch({"connection": name, "path": str(root), "max_cache_size": None}) as kv:
        kv.commit(puts=[Put("a", "1")])
        assert (kv.root, kv.name) == (root, f"dir://{root}")
    with backends.fetch(f"{name.removesuffix(':')}://{root}") as kv:
        assert kv.get("a").value == "1"


def test_relative_path_is_resolved_once(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with backends.fetch("dir://kv") as kv:
        monkeypatch.chdir(tmp_path / "elsewhere")
        kv.commit(puts=[Put("a", "1")])
    assert (tmp_path / "kv" / "journal").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "names no directory"),
        ({"path": "/x", "encoding": "utf-16"}, "UTF-8"),
        ({"path": "/x", "max_cache_size": 0}, "max_cache_size"),
        ({"path": "/x", "colour": "red"}, "unknown option"),
    ],
)
def test_invalid_options(options, message):
    with pytest.raises(exc.InvalidFormat, match=message):
        backends.fetch({"connection": "dir", **options})


def test_files_are_readable(root):
    with backends.fetch(f"dir://{root}?journal_size=1") as kv:
        version = kv.commit(puts=[Put("a/b", '{"x": 1}')])
    text = (root / "items" / "a.d" / "b.json").read_text()
    header, _, value = text.partition("\n")
    assert value == '{"x": 1}'
    assert json.loads(header) == {"version": version, "lease": None, "crc": json.loads(header)["crc"]}


def test_empty_folders_are_removed(root):
    with backends.fetch(f"dir://{root}?journal_size=1") as kv:
        kv.commit(puts=[Put("a/b/c", "1"), Put("a/d", "1")])
        kv.commit(deletes=["a/b/c"])
        assert not (root / "items" / "a.d" / "b.d").exists()
        assert [item.key for item in kv.list()] == ["a/d"]


def test_cache_size(root):
    with backends.fetch(f"dir://{root}?journal_size=1&max_cache_size=3") as kv:
        kv.commit(puts=[Put(f"k{n}", str(n)) for n in range(10)])
        for n in (*range(10), 9, 0):
            assert kv.get(f"k{n}").value == str(n)
            assert len(kv.files.cache) <= 3


def test_incomplete_line_is_ignored(root):
    with backends.fetch(f"dir://{root}") as kv:
        kv.commit(puts=[Put("a", "1")])
        with (root / "journal").open("ab") as journal:
            journal.write(b'0badc0de {"r":99,"p":[["a","2",nu')
        assert kv.get("a").value == "1"
        kv.commit(puts=[Put("b", "1")])
    with backends.fetch(f"dir://{root}") as kv:
        assert [(item.key, item.value) for item in kv.list()] == [("a", "1"), ("b", "1")]


def test_damaged_journal(root):
    with backends.fetch(f"dir://{root}") as kv:
        for value in "123":
            kv.commit(puts=[Put("a", value)])
    journal = root / "journal"
    journal.write_bytes(journal.read_bytes().replace(b'"2"', b'"9"'))
    with backends.fetch(f"dir://{root}") as kv, pytest.raises(exc.StorageFailure, match=r"journal.*damaged"):
        kv.get("a")


def test_damaged_item_file(root):
    with backends.fetch(f"dir://{root}?journal_size=1") as kv:
        kv.commit(puts=[Put("a", "1")])
        path = root / "items" / "a.json"
        path.write_text("")
        with pytest.raises(exc.StorageFailure, match=r"a\.json.*damaged"):
            kv.get("a")


@pytest.mark.parametrize("version", [1, 3])
def test_another_format_is_rejected(root, version):
    with backends.fetch(f"dir://{root}") as kv:
        kv.commit(puts=[Put("a", "1")])
    Journal(root / "journal", sync=False).replace({"format": version, "r": 1, "id": "x", "leases": {}})
    with (
        backends.fetch(f"dir://{root}") as kv,
        pytest.raises(exc.IncompatibleVersion, match=f"format {version}"),
    ):
        kv.get("a")


def test_path_of_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with backends.fetch(f"dir://{tmp_path}/file") as kv, pytest.raises(exc.StorageFailure, match="file"):
        kv.commit(puts=[Put("a", "1")])


def test_lock_timeout(root):
    with backends.fetch(f"dir://{root}") as one, backends.fetch(f"dir://{root}?timeout=0.05") as two:
        one.commit(puts=[Put("a", "1")])
        with one.snapshot():
            assert two.get("a").value == "1"
            with pytest.raises(exc.StorageFailure, match=r"locked.*timeout"):
                two.commit(puts=[Put("a", "2")])
            with pytest.raises(exc.StorageFailure, match="snapshot"):
                one.commit(puts=[Put("a", "2")])
        two.commit(puts=[Put("a", "2")])


def test_commit_on_full_disk_is_not_applied(root, monkeypatch):
    with backends.fetch(f"dir://{root}") as kv:
        kv.commit(puts=[Put("a", "1")])
        write = os.write

        def full(handle, data):
            write(handle, bytes(data[:20]))
            raise OSError(errno.ENOSPC, "no space left")

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(exc.StorageFailure, match="disk"):
                kv.commit(puts=[Put("a", "2")])
        assert kv.get("a").value == "1"
        kv.commit(puts=[Put("a", "3")])
        assert kv.get("a").value == "3"


def test_pipes_of_dead_processes_are_removed(root):
    with backends.fetch(f"dir://{root}") as kv:
        kv.commit(puts=[Put("a", "1")])
        os.mkfifo(root / "waiters" / "999999-dead")
        kv.commit(puts=[Put("a", "2")])
        assert list((root / "waiters").iterdir()) == []


def test_lease_expiry_wakes_waiter(root):
    with backends.fetch(f"dir://{root}") as kv:
        lease = kv.grant(0.1)
        kv.commit(puts=[Put("a", "1", lease.id)])
        mark = kv.wait()
        assert kv.wait("a", mark, timeout=30) != mark
        assert kv.get("a") is None


def test_caches_follow_compaction_by_others(root):
    """Two objects compact and read in turn; each sees the commits of the other."""
    with backends.fetch(f"dir://{root}?journal_size=1") as one, backends.fetch(f"dir://{root}") as two:
        for number in range(12):
            writer, reader = (one, two) if number % 3 else (two, one)
            writer.commit(puts=[Put(f"a/{number:02}/x", "1"), Put("same", str(number))])
            if number > 4:
                writer.commit(deletes=[f"a/{number - 4:02}/x"])
            for kv in (reader, writer):
                items = {item.key: item.value for item in kv.list()}
                remaining = [n for n in range(number + 1) if not 1 <= n <= number - 4]
                assert items == {"same": str(number), **{f"a/{n:02}/x": "1" for n in remaining}}
                assert all(kv.get(key).value == value for key, value in items.items())


def test_directory_deleted_and_created_again(root):
    with backends.fetch(f"dir://{root}?journal_size=1") as kv:
        kv.commit(puts=[Put("a", "1")])
        assert kv.get("a").value == "1"
        shutil.rmtree(root)
        with backends.fetch(f"dir://{root}?journal_size=1") as other:
            other.commit(puts=[Put("b", "2")])
            assert [(item.key, item.value) for item in other.list()] == [("b", "2")]
        assert [(item.key, item.value) for item in kv.list()] == [("b", "2")]
        assert kv.get("a") is None


def test_cost_of_list_is_independent_of_size(root, monkeypatch):
    """A folder is listed once, and not again after each compaction."""
    listed, listdir = [], os.listdir

    def recording(path="."):
        listed.append(str(path))
        return listdir(path)

    with backends.fetch(f"dir://{root}?sync=no&journal_size=5000") as kv:
        kv.commit(puts=[Put(f"job/{n:06}", "1") for n in range(1000)])
        monkeypatch.setattr(os, "listdir", recording)
        for number in range(200):
            (first,) = kv.list("job/", limit=1)
            assert first.key == f"job/{number:06}"
            kv.commit(puts=[Put(f"done/{number}", "1")], deletes=[first.key])
    assert sum(path.endswith("job.d") for path in listed) == 1
