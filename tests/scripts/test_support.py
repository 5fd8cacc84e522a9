"""Which servers a test needs, and how tests are divided among workers."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts.servers.definitions import KINDS
from tests.support import needs, scheduling, scratch


def item(*fixtures, params=None, servers=(), path="tests/a.py", slow=False):
    markers = [SimpleNamespace(args=servers)] if servers else []
    return SimpleNamespace(
        fixturenames=fixtures,
        callspec=SimpleNamespace(params=params) if params else None,
        iter_markers=lambda name: markers,
        get_closest_marker=lambda name: slow or None,
        path=Path(path),
        nodeid=f"{path}::test",
    )


@pytest.mark.parametrize(
    ("test", "servers"),
    [
        (item("tmp_path"), set()),
        (item("redis_url", "tmp_path"), {"redis"}),
        (item("board", params={"kind": "etcd", "size": 3}), {"etcd"}),
        (item(servers=("mysql", "redis")), {"mysql", "redis"}),
        (item("new_server", params={"board": "zookeeper"}), {"zookeeper"}),
        (item("new_server"), set(KINDS)),
    ],
)
def test_servers_of_a_test(test, servers):
    assert needs.servers_of(test) == servers


def test_slow_files_come_first_and_divisible_ones_after_them():
    divisible = item(path="tests/chaos/test_chaos.py", slow=True)
    slow, in_slow_file, fast = item(slow=True), item(), item(path="tests/b.py")
    assert scheduling.longest_first([fast, divisible, slow, in_slow_file]) == [
        slow,
        in_slow_file,
        divisible,
        fast,
    ]


def test_files_stay_together_unless_they_are_divisible():
    scope = scheduling.FileScheduling._split_scope
    assert scope(None, "tests/kv/test_redis.py::test_a[1]") == "tests/kv/test_redis.py"
    assert scope(None, "tests/compat/test_wheel.py::test_a") == scope(
        None, "tests/compat/test_examples.py::b"
    )
    divisible = "tests/chaos/test_chaos.py::test_a[redis]"
    assert scope(None, divisible) == divisible
    assert all(Path(path).exists() for path in (*scheduling._DIVISIBLE, *scheduling._TOGETHER))


def test_temporary_files_of_ended_runs_are_removed(tmp_path, monkeypatch):
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(scratch, "_MEMORY", tmp_path)
    monkeypatch.setattr(scratch, "_REQUIRED", 0)
    monkeypatch.setattr("tempfile.tempdir", None)
    first = scratch.use_memory()
    assert first.is_dir()
    ended, other = first.parent / "99999999", first.parent / "other"
    ended.mkdir()
    other.mkdir()
    assert scratch.use_memory() is None  # TMPDIR is set
    monkeypatch.delenv("TMPDIR")
    first.rmdir()
    scratch.use_memory()
    assert sorted(path.name for path in first.parent.iterdir()) == sorted([first.name, "other"])
