"""The contract, on a SQLite file and in memory; the schema and its migrations."""

import contextlib
import multiprocessing
import os
import sqlite3

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from stackl_flow import exceptions as exc
from stackl_flow.persistence import backends
from stackl_flow.persistence.backends.sql import tables
from stackl_flow.persistence.backends.sql import tables as schema
from stackl_flow.persistence.records import Checkpoint, Transition
from stackl_flow.testing.contracts.persistence import (
    PersistenceContract,
    atom_update,
    checkpoint,
    saved_flow,
    with_tasks,
)


class TestFile(PersistenceContract):
    @pytest.fixture
    def backend(self, tmp_path):
        with backends.backend(f"sqlite:///{tmp_path}/flows.db?synchronous=OFF") as backend:
            yield backend


class TestRollbackJournal(PersistenceContract):
    @pytest.fixture
    def backend(self, tmp_path):
        with backends.backend(f"sqlite:///{tmp_path}/f.db?journal_mode=delete&synchronous=off") as backend:
            yield backend


class TestInMemory(PersistenceContract):
    @pytest.fixture
    def backend(self):
        with backends.backend("sqlite://") as backend:
            yield backend


@pytest.fixture
def path(tmp_path):
    return tmp_path / "flows.db"


def pragma(conn, name):
    with conn._transaction(write=False):
        return conn._session.query(f"PRAGMA {name}")[0][0]


def test_every_commit_is_synced_by_default(path):
    with backends.backend(f"sqlite:///{path}") as backend, backend.get_connection() as conn:
        assert (pragma(conn, "journal_mode"), pragma(conn, "synchronous")) == ("wal", 2)
        assert pragma(conn, "foreign_keys") == 1


def test_options_in_the_url_and_beside_it(path):
    conf = {
        "connection": f"sqlite:///{path}?synchronous=NORMAL",
        "journal_mode": "truncate",
        "timeout": "1.5",
    }
    with backends.backend(conf) as backend, backend.get_connection() as conn:
        assert (pragma(conn, "journal_mode"), pragma(conn, "synchronous")) == ("truncate", 1)
        assert pragma(conn, "busy_timeout") == 1500


def test_a_relative_path_is_resolved_when_it_is_given(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with backends.backend("sqlite:///flows.db") as backend:
        monkeypatch.chdir(tmp_path / "elsewhere")
        saved_flow(backend)
    assert (tmp_path / "flows.db").exists()
    assert not list((tmp_path / "elsewhere").iterdir())


def test_migrations_create_the_tables_of_the_code(path):
    with backends.backend(f"sqlite:///{path}") as backend, backend.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": tables.VERSION_TABLE})
        assert compare_metadata(context, tables.metadata) == []
        assert context.get_current_revision() == tables.REVISION
    assert ScriptDirectory.from_config(schema.alembic_config()).get_current_head() == tables.REVISION


def create_schema(path, revision):
    """Create an empty database with an earlier schema."""
    with backends.fetch(f"sqlite:///{path}") as backend, backend.engine.begin() as connection:
        command.upgrade(schema.alembic_config(connection), revision)


COLUMNS = ("flow_uuid", "seq", "atom", "old_state", "new_state", "at", "owner")
INSERT_TRANSITION = {
    "0001": "INSERT INTO transitions (flow_uuid, atom, old_state, new_state, at, owner)"
    " VALUES (:flow_uuid, :atom, :old_state, :new_state, :at, :owner)",
    "0002": "INSERT INTO transitions (flow_uuid, seq, atom, old_state, new_state, at, owner)"
    " VALUES (:flow_uuid, :seq, :atom, :old_state, :new_state, :at, :owner)",
    "0003": "INSERT INTO moves (id, atom, old_state, new_state, at, owner)"
    " SELECT (id << 32) + :seq, :atom, :old_state, :new_state, :at, :owner"
    " FROM flowdetails WHERE uuid = :flow_uuid",
}


@pytest.mark.parametrize("revision", INSERT_TRANSITION)
def test_history_survives_migrations(path, revision):
    """It was in the order of writing at first, then numbered by flow, then under one key."""
    create_schema(path, revision)
    kept = [(None, None, "RUNNING", 1.0, "me"), ("a", "PENDING", "RUNNING", 2.0, "me")]
    rows = [("f", 1, *kept[0]), ("e", 1, *kept[0]), ("f", 2, *kept[1])]
    with contextlib.closing(sqlite3.connect(path)) as old, old:
        old.execute("INSERT INTO logbooks (uuid, name, created_at) VALUES ('b', 'book', 1.0)")
        flow = "INSERT INTO flowdetails (uuid, book_uuid, name, epoch, created_at) VALUES (?, 'b', ?, 3, 1.0)"
        old.executemany(flow, [("f", "mine"), ("e", "other")])
        for row in rows:
            old.execute(INSERT_TRANSITION[revision], dict(zip(COLUMNS, row, strict=True)))
    with backends.fetch(f"sqlite:///{path}") as backend, backend.get_connection() as conn:
        with pytest.raises(exc.StorageFailure, match="not upgraded"):
            conn.get_history("f")
        conn.upgrade()
        assert conn.get_history("f") == [(1, *kept[0], None, None), (2, *kept[1], None, None)]
        assert conn.get_history("e") == [(1, *kept[0], None, None)]
        done = Transition(0, "a", "RUNNING", "SUCCESS", 3.0, "me", "it was done")
        conn.checkpoint(Checkpoint("f", 3, transitions=[done]))
        assert conn.get_history("f", after=2) == [done._replace(seq=3)]
        with backend.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"version_table": tables.VERSION_TABLE})
            assert compare_metadata(context, tables.metadata) == []
            assert sa.inspect(connection).get_indexes("history") == []


def test_the_history_of_a_flow_that_was_deleted_by_sql_is_not_another_flows(path):
    """SQLite reuses the id of a deleted flow."""
    with backends.backend(f"sqlite:///{path}") as backend, backend.get_connection() as conn:
        for repeat in range(2):
            flow, (task,) = with_tasks(backend, 1)
            epoch = conn.take_ownership(flow.uuid, "me", 1.0)
            conn.checkpoint(
                checkpoint(flow, epoch, [atom_update(task, "RUNNING")], [("t0", None, "RUNNING", repeat)])
            )
            assert [row.at for row in conn.get_history(flow.uuid)] == [repeat]
            with contextlib.closing(sqlite3.connect(path)) as plain, plain:
                plain.execute("PRAGMA foreign_keys=ON")
                plain.execute("DELETE FROM logbooks")


def test_the_history_is_deleted_with_its_flow(path):
    with backends.backend(f"sqlite:///{path}") as backend, backend.get_connection() as conn:
        books = []
        for _ in range(3):
            flow, _ = with_tasks(backend, 1)
            epoch = conn.take_ownership(flow.uuid, "me", 1.0)
            conn.checkpoint(checkpoint(flow, epoch, [], [("a", None, "RUNNING", 1.0)] * 2))
            books.append(conn.get_flow_record(flow.uuid).book_uuid)
        with contextlib.closing(sqlite3.connect(path)) as plain:
            conn.destroy_logbook(books[1])
            assert plain.execute("SELECT id >> 32, id & 7 FROM history").fetchall() == [
                (1, 1),
                (1, 2),
                (3, 1),
                (3, 2),
            ]
            conn.clear_all()
            assert plain.execute("SELECT count(*) FROM history").fetchall() == [(0,)]


def test_tables_of_another_program_are_not_touched(path):
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE alembic_version (version_num TEXT)")
    other.execute("INSERT INTO alembic_version VALUES ('9999')")
    other.commit()
    with backends.backend(f"sqlite:///{path}") as backend:
        saved_flow(backend)
        assert "alembic_version" in sa.inspect(backend.engine).get_table_names()
    assert other.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]
    other.close()


def test_people_can_query_the_tables(path):
    with backends.backend(f"sqlite:///{path}") as backend, backend.get_connection() as conn:
        flows = [saved_flow(backend, name) for name in ("mine", "other")]
        for flow in flows:
            epoch = conn.take_ownership(flow.uuid, "me", 1.0)
            conn.checkpoint(checkpoint(flow, epoch, [], [("a", None, "RUNNING", 1.0), ("b", None, "X", 2.0)]))
    plain = sqlite3.connect(path)
    assert plain.execute("SELECT name, epoch FROM flowdetails").fetchall() == [("mine", 1), ("other", 1)]
    found = plain.execute("SELECT flow_uuid, seq, atom FROM transitions ORDER BY flow_uuid, seq").fetchall()
    assert found == sorted((flow.uuid, seq, atom) for flow in flows for seq, atom in ((1, "a"), (2, "b")))
    steps = plain.execute("EXPLAIN QUERY PLAN SELECT * FROM transitions WHERE flow_uuid = 'x'").fetchall()
    assert not [step for step in steps if step[-1].startswith("SCAN")]
    plain.close()


def upgrade(url):
    with backends.backend(url):
        pass


def test_many_processes_upgrade_at_once(path):
    url = f"sqlite:///{path}"
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=upgrade, args=(url,)) for _ in range(4)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 4
    with backends.fetch(url) as backend, backend.get_connection() as conn:
        conn.validate()


def test_a_connection_is_usable_in_a_forked_process(path):
    with backends.backend(f"sqlite:///{path}") as backend, backend.get_connection() as conn:
        flow = saved_flow(backend)
        conn.take_ownership(flow.uuid, "parent", 1.0)
        child = os.fork()
        if child == 0:
            # The child must leave at once: it carries a copy of the whole test run.
            status = 1
            try:
                status = 0 if conn.take_ownership(flow.uuid, "child", 2.0) == 2 else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert conn.get_flow_record(flow.uuid).owner == "child"
        assert conn.take_ownership(flow.uuid, "parent", 3.0) == 3
