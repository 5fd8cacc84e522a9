"""Databases that cannot be used: one error that names the file and the remedy."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from stackl_flow import engines, states, task
from stackl_flow import exceptions as exc
from stackl_flow.patterns.linear_flow import Flow
from stackl_flow.persistence import backends, models
from stackl_flow.persistence.backends.sql import tables
from stackl_flow.testing.contracts.persistence import atom_update, checkpoint, saved_flow, with_tasks

OTHER_USER = 65534


@pytest.fixture
def path(tmp_path):
    return tmp_path / "flows.db"


@pytest.fixture
def stored(path):
    """Return the path of a closed database with one flow."""
    with backends.backend(f"sqlite:///{path}") as backend:
        saved_flow(backend)
    return path


def fails(path, *words, options="", kind=exc.StorageFailure, verb="get_logbooks"):
    with backends.fetch(f"sqlite:///{path}{options}") as backend, backend.get_connection() as conn:
        with pytest.raises(kind) as caught:
            getattr(conn, verb)()
        assert str(path) in caught.value.args[0]
        for word in words:
            assert word in caught.value.args[0]
        return caught.value


def write_book(path, options=""):
    with backends.fetch(f"sqlite:///{path}{options}") as backend, backend.get_connection() as conn:
        conn.save_logbook(models.LogBook("b"))


@contextlib.contextmanager
def as_other_user():
    """Become a user to whom file modes apply; root may write anything."""
    if os.geteuid():
        yield
        return
    os.seteuid(OTHER_USER)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def shared_directory():
    """Return a directory that every user can reach, unlike tmp_path."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    yield directory
    directory.chmod(0o755)
    shutil.rmtree(directory)


@pytest.mark.parametrize("verb", ["get_logbooks", "upgrade", "validate"])
def test_missing_directory(tmp_path, verb):
    fails(tmp_path / "no" / "flows.db", "no directory", "create it first", verb=verb)
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("verb", ["get_logbooks", "validate"])
def test_missing_file_is_not_created_by_reading(path, verb):
    fails(path, "does not exist", "db upgrade", verb=verb)
    assert not path.exists()


def test_directory_instead_of_a_file(tmp_path):
    fails(tmp_path, "is a directory", verb="upgrade")


@pytest.mark.parametrize("verb", ["get_logbooks", "upgrade", "validate"])
def test_not_a_database(path, verb):
    path.write_text("this is plain text, " * 100)
    error = fails(path, "is not a SQLite database", verb=verb)
    assert isinstance(error.cause, sqlite3.DatabaseError)
    assert path.read_text().startswith("this is plain text")


@pytest.mark.parametrize("verb", ["get_logbooks", "validate", "clear_all"])
def test_not_yet_upgraded(path, verb):
    sqlite3.connect(path).close()
    fails(path, "not upgraded", "stackl-flow db upgrade --db", verb=verb)


def test_database_of_another_program(path):
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE logbooks (mine TEXT)")
        other.commit()
    fails(path, "not upgraded")
    # Its table has a name that is needed: nothing is created, and it is not touched.
    fails(path, "another program", "(logbooks)", "a database of its own", verb="upgrade")
    with contextlib.closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("logbooks",)]


@pytest.mark.parametrize("verb", ["get_logbooks", "upgrade", "validate"])
def test_newer_than_the_code(stored, verb):
    with contextlib.closing(sqlite3.connect(stored)) as other:
        other.execute(f"UPDATE {tables.VERSION_TABLE} SET version_num = '0999'")  # noqa: S608  a name of our own
        other.commit()
    fails(stored, "0999", "newer", "update stackl_flow", kind=exc.IncompatibleVersion, verb=verb)


def test_corrupt_pages(stored):
    with stored.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        for page in range(1, size // 4096):
            file.seek(page * 4096)
            file.write(b"\xa5" * 4096)
    fails(stored, "is damaged", "restore a backup")
    fails(stored, "is damaged", "restore a backup", verb="validate")


def test_corruption_that_queries_do_not_touch(stored):
    with contextlib.closing(sqlite3.connect(stored)) as other:
        (page,) = other.execute("SELECT rootpage FROM sqlite_master WHERE name = 'atomdetails'").fetchone()
    with stored.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xa5" * 4096)
    with backends.fetch(f"sqlite:///{stored}") as backend, backend.get_connection() as conn:
        assert len(conn.get_logbooks(lazy=True)) == 1
    fails(stored, "is damaged", verb="validate")


def test_locked_by_another_process(stored):
    hold = (
        "import sqlite3, sys\n"
        "held = sqlite3.connect(sys.argv[1])\n"
        "held.execute('BEGIN IMMEDIATE')\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", hold, str(stored)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        error = fails(
            stored,
            "locked by another process",
            "timeout",
            options="?timeout=0.1&retry_delay=0",
            verb="clear_all",
        )
        assert error.cause.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
        # Readers do not wait.
        with backends.fetch(f"sqlite:///{stored}") as backend, backend.get_connection() as conn:
            assert len(conn.get_logbooks()) == 1
        other.stdin.close()
    write_book(stored, options="?timeout=0.1")


def test_file_is_read_only(shared_directory):
    path = shared_directory / "flows.db"
    write_after_upgrade(path)
    path.chmod(0o444)
    with as_other_user():
        fails(path, "is read-only", "writable", options="?journal_mode=DELETE", verb="clear_all")


def test_directory_is_read_only(shared_directory):
    path = shared_directory / "flows.db"
    write_after_upgrade(path)
    path.chmod(0o666)
    shared_directory.chmod(0o555)
    with as_other_user():
        with pytest.raises(exc.StorageFailure, match=r"(?s)flows\.db.*(writable|may be used)"):
            write_book(path)
        fails(shared_directory / "new.db", "may be used by this user", verb="upgrade")


def write_after_upgrade(path):
    with backends.backend(f"sqlite:///{path}?journal_mode=DELETE") as backend:
        saved_flow(backend)


def fill(conn, flow, epoch, task):
    """Write until the disk is full."""
    text = '"' + "x" * 20_000 + '"'
    for step in range(10_000):
        conn.checkpoint(
            checkpoint(flow, epoch, [atom_update(task, states.RUNNING, text)], [("t0", text, None, step)])
        )


def check_after_full(backend, conn, flow, epoch, task):
    before = len(conn.get_history(flow.uuid))
    assert before > 0
    with pytest.raises(exc.StorageFailure, match="full"):
        fill(conn, flow, epoch, task)
    assert len(conn.get_history(flow.uuid)) >= before
    assert conn.get_atom_details(task.uuid).state == states.RUNNING
    conn.validate()


def test_file_must_not_grow(path):
    with backends.backend(f"sqlite:///{path}?max_page_count=120&retry_delay=0") as backend:
        flow, (task,) = with_tasks(backend, 1)
        with backend.get_connection() as conn:
            epoch = conn.take_ownership(flow.uuid, "me", 1.0)
            with pytest.raises(exc.StorageFailure, match=r"full.*free some space.*safe") as caught:
                fill(conn, flow, epoch, task)
            assert str(path) in str(caught.value)
            check_after_full(backend, conn, flow, epoch, task)
    # With free space again, the flow continues from what was stored.
    with backends.fetch(f"sqlite:///{path}") as backend, backend.get_connection() as conn:
        conn.checkpoint(checkpoint(flow, epoch, [atom_update(task, states.SUCCESS, "1")]))
        assert conn.get_atom_details(task.uuid).results == 1


def test_disk_is_full(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if os.geteuid() or shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        with backends.backend(f"sqlite:///{disk}/flows.db?retry_delay=0") as backend:
            flow, (task,) = with_tasks(backend, 1)
            with backend.get_connection() as conn:
                epoch = conn.take_ownership(flow.uuid, "me", 1.0)
                with pytest.raises(exc.StorageFailure, match=r"full|cannot be read or written") as caught:
                    fill(conn, flow, epoch, task)
                assert "flows.db" in str(caught.value)
                assert conn.get_atom_details(task.uuid).state == states.RUNNING
                assert len(conn.get_history(flow.uuid)) > 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_unknown_option(path):
    with pytest.raises(exc.InvalidFormat, match=r"'pragma'.*known options are cache_size, journal_mode"):
        backends.fetch(f"sqlite:///{path}?pragma=1")


@pytest.mark.parametrize("query", ["synchronous=maybe", "timeout=soon", "journal_mode=WAL;DROP"])
def test_bad_option(path, query):
    with pytest.raises(exc.InvalidFormat, match=query.partition("=")[0]):
        backends.fetch(f"sqlite:///{path}?{query}")


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_deleted_while_a_flow_runs(tmp_path, replaced):
    """What is written then is lost, so the flow fails."""
    path, other = tmp_path / "flows.db", tmp_path / "other.db"
    with backends.backend(f"sqlite:///{other}"):
        pass

    def lose():
        for file in tmp_path.glob("flows.db*"):
            file.unlink()
        if replaced:
            other.rename(path)

    flow = Flow("f").add(task.FunctorTask(lose, name="a"), task.FunctorTask(lambda: None, name="b"))
    with (
        backends.backend(f"sqlite:///{path}?retry_delay=0") as backend,
        pytest.raises(exc.StorageFailure, match="deleted or replaced"),
    ):
        engines.run(flow, backend=backend)
