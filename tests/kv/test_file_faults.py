"""Stores in files: a commit that is reported as failed was not applied, and damage is never another state."""

import errno
import os
import random
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.jobboards import backends as boards
from stackl_flow.kv import backends
from stackl_flow.kv.backends.directory import store as directory
from stackl_flow.kv.items import Put
from tests.kv.test_directory_crash import STEPS, states
from tests.support.file_calls import FileCalls

ROOT = Path(__file__).resolve().parents[2]
#: Imports everything before it becomes another user, who may not read this installation.
OTHER_USER = """
import os, sys
from stackl_flow.jobboards import backends
with backends.backend("b", "sqlite://") as board:
    board.post("warm")
os.setgroups([]); os.setgid(65534); os.setuid(65534)
with backends.backend("b", sys.argv[1]) as board:
    print("posted", len([board.post("second", details={"n": number}) for number in range(3)]))
"""

FILES = ["sqlite:///{}/kv.db", "dir://{}/kv"]


def contents(url):
    with backends.fetch(url) as kv:
        return {item.key: item.value for item in kv.list()}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE])
@pytest.mark.parametrize(("options", "batch"), [("journal_size=1", 128), ("journal_size=700", 1), ("", 128)])
def test_an_error_at_every_call(options, batch, number, tmp_path, monkeypatch):
    """One call fails: what raises was not applied, what returns was."""
    monkeypatch.setattr(directory, "_COMPACT_BATCH", batch)
    after, at, failed = states(), 0, 0
    while True:
        at += 1
        url = f"dir://{tmp_path}/at{at}?{options}"
        calls = FileCalls(at, error=OSError(number, os.strerror(number)))
        with backends.fetch(url) as kv, backends.fetch(url) as other:
            for index, (checks, puts, deletes) in enumerate(STEPS):
                try:
                    with calls.counted():
                        kv.commit(checks, puts, deletes)
                except exc.StorageFailure:
                    failed += 1
                    assert {item.key: item.value for item in other.list()} == after[index], (at, calls.failed)
                    kv.commit(checks, puts, deletes)
                assert {item.key: item.value for item in other.list()} == after[index + 1], (at, calls.failed)
                assert contents(url) == after[index + 1]
        if not calls.failed:
            break
    assert failed > 0


@pytest.mark.parametrize("url", FILES)
@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.EPERM, errno.ENXIO])
def test_waiters_cannot_be_woken(url, number, tmp_path, monkeypatch):
    """The pipe of a waiter may belong to another user, or there are no handles left after the commit."""
    url = url.format(tmp_path)
    real = os.open

    def refuse(path, *args, **kwargs):
        if "waiters" in str(path):
            raise OSError(number, os.strerror(number), path)
        return real(path, *args, **kwargs)

    with backends.fetch(url) as kv, backends.fetch(url) as other:
        kv.commit(puts=[Put("a", "1")])
        mark, seen = other.wait(), []
        waiter = threading.Thread(target=lambda: seen.append(other.wait("a", mark, 30)))
        waiter.start()
        monkeypatch.setattr(os, "open", refuse)
        assert kv.commit(puts=[Put("a", "2")])
        assert kv.get("a").value == "2"
        waiter.join(30)
        assert seen
        assert seen[0] != mark


@pytest.mark.parametrize("url", FILES)
def test_a_waiter_without_a_pipe_polls(url, tmp_path, monkeypatch):
    """A waiter that may not write into the folder of pipes notices changes all the same."""
    url = url.format(tmp_path)

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "no pipes")

    with backends.fetch(url) as kv, backends.fetch(url) as other:
        kv.commit(puts=[Put("a", "1")])
        mark, seen = other.wait(), []
        monkeypatch.setattr(os, "mkfifo", refuse)
        waiter = threading.Thread(target=lambda: seen.append(other.wait("a", mark, 30)))
        waiter.start()
        kv.commit(puts=[Put("a", "2")])
        waiter.join(30)
        assert seen
        assert seen[0] != mark


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_another_user_posts(tmp_path):
    """A board in a file that other users may write: their posts are not reported as failed."""
    for parent in (tmp_path, *tmp_path.parents):
        if parent.owner() == "root" and parent.name.startswith(("pytest", "popen", "test_")):
            parent.chmod(0o777)
    url = f"sqlite:///{tmp_path}/jobs.db"
    with boards.backend("b", url) as board:
        board.post("first")
        seen = threading.Event()
        waiter = threading.Thread(target=lambda: (board.wait(20), seen.set()), daemon=True)
        waiter.start()
        for path in tmp_path.iterdir():
            if path.is_file():
                path.chmod(0o666)
        done = subprocess.run(
            [sys.executable, "-c", OTHER_USER, url], check=False, cwd=ROOT, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout.strip()) == (0, "posted 3"), done.stderr
        assert sorted(job.details.get("n", -1) for job in board.iterjobs()) == [-1, 0, 1, 2]


@pytest.mark.parametrize("call", ["fdatasync", "fsync", "write"])
def test_a_record_whose_sync_failed_is_not_readable(call, tmp_path, monkeypatch):
    """No reader sees a commit that was reported as failed, and the next commit is not damaged by it."""
    url = f"dir://{tmp_path}/kv"
    with backends.fetch(url) as kv, backends.fetch(url) as other:
        kv.commit(puts=[Put("a", "1")])
        for cleanup in (False, True):
            with monkeypatch.context() as patch:

                def fail(*_):
                    raise OSError(errno.EIO, "the disk failed")

                patch.setattr(os, call, fail)
                if call == "fsync":
                    patch.setattr(os, "fdatasync", fail)
                if cleanup:
                    patch.setattr(os, "ftruncate", fail)
                with pytest.raises(exc.StorageFailure):
                    kv.commit(puts=[Put("a", "2"), Put("b", "2")])
            for reader in (kv, other):
                assert [(item.key, item.value) for item in reader.list()] == [("a", "1")]
            assert contents(url) == {"a": "1"}
        kv.commit(puts=[Put("c", "3")])
        assert contents(url) == {"a": "1", "c": "3"}


def test_commits_of_a_board_in_sqlite_are_synced(tmp_path):
    """Every connection syncs the log at each commit: with NORMAL, a power failure loses commits."""
    made = []
    listen = lambda raw, _: made.append(raw)  # noqa: E731
    sa.event.listen(sa.pool.Pool, "connect", listen)
    try:
        with boards.backend("b", f"sqlite:///{tmp_path}/jobs.db") as board:
            board.claim(board.post("one"), "me")
            settings = {
                (
                    raw.execute("PRAGMA synchronous").fetchone()[0],
                    raw.execute("PRAGMA journal_mode").fetchone()[0],
                )
                for raw in made
            }
    finally:
        sa.event.remove(sa.pool.Pool, "connect", listen)
    assert settings == {(2, "wal")}


@pytest.mark.parametrize("options", ["journal_size=1", "", "journal_size=300"])
def test_flipped_bits_are_detected(options, tmp_path):
    """A flipped bit in any file is named, or changes nothing."""
    root, dice = tmp_path / "kv", random.Random(options)
    url = f"dir://{root}?{options}"
    with backends.fetch(url) as kv:
        for number in range(8):
            kv.commit(puts=[Put(f"a/{number}", f'{{"n": {number}}}'), Put("last", str(number))])
        kv.commit(deletes=["a/0"])
        kv.commit(puts=[Put("leased", "1", kv.grant(10_000).id)])
        before = [(item.key, item.value, item.version, item.lease) for item in kv.list()]
    detected = 0
    files = [path for path in root.rglob("*") if path.is_file() and path.stat().st_size]
    for number in range(600):
        path = dice.choice(files)
        copy = tmp_path / f"copy{number}"
        shutil.copytree(root, copy)
        changed = copy / path.relative_to(root)
        data = bytearray(changed.read_bytes())
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        changed.write_bytes(data)
        found, message = None, ""
        try:
            with backends.fetch(f"dir://{copy}?{options}") as kv:
                found = [(item.key, item.value, item.version, item.lease) for item in kv.list()]
        except exc.StacklFlowError as error:
            message = str(error)
            detected += 1
        assert found == before or str(copy) in message, (changed, bytes(data))
        shutil.rmtree(copy)
    assert detected > 500


@pytest.mark.parametrize("name", ["journal.new", "items/a.json.new", "lock", "journal"])
def test_links_are_not_followed(name, tmp_path):
    """A link that another user has laid is replaced, or refused; its target stays as it is."""
    target, root = tmp_path / "precious", tmp_path / "kv"
    target.write_text("precious")
    with backends.fetch(f"dir://{root}?journal_size=1") as kv:
        kv.commit(puts=[Put("a", "1")])
    link = root / name
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    with backends.fetch(f"dir://{root}?journal_size=1") as kv:
        message = ""
        try:
            kv.commit(puts=[Put("a", "2")])
        except exc.StorageFailure as error:
            message = str(error)
        assert name in message or kv.get("a").value == "2"
    assert target.read_text() == "precious"


def test_wakeups_write_into_no_file(tmp_path):
    """What lies among the pipes and is none is left alone."""
    target = tmp_path / "precious"
    target.write_text("precious")
    with backends.fetch(f"dir://{tmp_path}/kv") as kv:
        kv.commit(puts=[Put("a", "1")])
        (tmp_path / "kv" / "waiters" / "link").symlink_to(target)
        (tmp_path / "kv" / "waiters" / "file").write_text("file")
        kv.commit(puts=[Put("a", "2")])
        assert (tmp_path / "kv" / "waiters" / "file").read_text() == "file"
    assert target.read_text() == "precious"
