"""Flows that earlier versions stored, half done, are upgraded and resumed to the right end."""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.migration import MigrationContext

from stackl_flow import engines, redaction, states
from stackl_flow import exceptions as exc
from stackl_flow.kv.items import Put
from stackl_flow.persistence import backends
from stackl_flow.persistence.backends.kv import KVBackend
from stackl_flow.persistence.backends.sql import tables
from tests.support import databases

OLD = json.loads(Path(__file__).with_name("old_flows.json").read_text())
REVISIONS = ["0001", "0002", "0003", "0004"]
ENDS = {"done": 4, "added": 4, "retrying": 4, "fresh": 4, "failing": None}
"""What each flow provides as "end"; None: it fails."""

_TRANSITIONS = {
    "0001": "INSERT INTO transitions (flow_uuid, atom, old_state, new_state, at, owner)"
    " VALUES (:flow_uuid, :atom, :old_state, :new_state, :at, :owner)",
    "0002": "INSERT INTO transitions (flow_uuid, seq, atom, old_state, new_state, at, owner)"
    " VALUES (:flow_uuid, :seq, :atom, :old_state, :new_state, :at, :owner)",
    "0003": "INSERT INTO moves (id, atom, old_state, new_state, at, owner)"
    " SELECT id * 4294967296 + :seq, :atom, :old_state, :new_state, :at, :owner"
    " FROM flowdetails WHERE uuid = :flow_uuid",
}
_TRANSITIONS["0004"] = _TRANSITIONS["0003"].replace("moves", "history")


def store_old(backend, revision):
    """Create the tables of an earlier version, with its flows."""
    with backend.engine.begin() as connection:
        command.upgrade(tables.alembic_config(connection), revision)
    with backend.engine.begin() as connection:
        for table in ("logbooks", "flowdetails", "atomdetails"):
            for row in OLD[table]:
                values = {name: value for name, value in row.items() if name != "id"}
                names = ", ".join(values)
                places = ", ".join(f":{name}" for name in values)
                insert = f"INSERT INTO {table} ({names}) VALUES ({places})"  # noqa: S608  our own tables
                connection.execute(sa.text(insert), values)
        for row in OLD["transitions"]:
            connection.execute(sa.text(_TRANSITIONS[revision]), row)


def check_flows(backend):
    """Check that everything can be read, and finish every flow."""
    with backend.get_connection() as conn:
        flows = {row.name: row for row in conn.list_flow_records()}
        assert flows.keys() == ENDS.keys()
        for name, row in flows.items():
            history = conn.get_history(row.uuid)
            expected = [old for old in OLD["transitions"] if old["flow_uuid"] == row.uuid]
            if expected:
                assert [(t.seq, t.atom, t.new, t.who) for t in history] == [
                    (old["seq"], old["atom"], old["new_state"], old["owner"]) for old in expected
                ]
            meta = conn.get_flow_details(row.uuid, lazy=True).meta
            assert meta["factory"]["args"] == [name]
            assert meta["injected"]["base"] == 1
            assert redaction.secret_names(meta) == {"extra"}
    for name, end in ENDS.items():
        with backend.get_connection() as conn:
            detail = conn.get_flow_details(flows[name].uuid)
        before = {atom.name: atom.results for atom in detail}
        engine = engines.load_from_detail(detail, backend=backend)
        if end is None:
            with pytest.raises(RuntimeError, match="attempt 4"):
                engine.run()
            assert engine.storage.get_flow_state() == states.REVERTED
            continue
        engine.run()
        assert engine.storage.fetch("end") == end
        with backend.get_connection() as conn:
            after = {atom.name: atom for atom in conn.get_atoms_for_flow(flows[name].uuid)}
        known = _texts(before.get("again") or ())
        # The last attempt may have failed since.
        found = _texts(after["again"].results)
        assert (found[: len(known) - 1], [value for value, _ in found][: len(known)]) == (
            known[:-1],
            [value for value, _ in known],
        )
        with backend.get_connection() as conn:
            assert conn.get_flow_record(flows[name].uuid).inputs_version > 0


def _texts(attempts):
    return [
        (value, {atom: str(failure) for atom, failure in failures.items()}) for value, failures in attempts
    ]


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql", "mysql"])
def test_a_database_of_an_earlier_version(kind, revision, tmp_path, request):
    if kind == "sqlite":
        _check_database(f"sqlite:///{tmp_path}/f.db", revision)
    elif kind == "postgresql":
        with databases.new_schema(request.getfixturevalue("postgresql_url")) as schema:
            _check_database(schema.url, revision)
    else:
        with databases.new_database(request.getfixturevalue("mysql_url")) as database:
            _check_database(database.url, revision)


def _check_database(url, revision):
    with backends.fetch(url) as backend, backend.get_connection() as conn:
        store_old(backend, revision)
        with pytest.raises(exc.StorageFailure, match="not upgraded"):
            conn.list_flow_records()
        conn.upgrade()
        with backend.engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"version_table": tables.VERSION_TABLE})
            assert context.get_current_revision() == tables.REVISION
            inputs = connection.execute(sa.text("SELECT part, name, value FROM flow_inputs")).all()
            assert ("injected", "base", "1") in {tuple(row) for row in inputs}
            left = connection.execute(sa.text("SELECT metadata FROM flowdetails")).scalars()
            assert not [meta for meta in left if meta and "factory" in meta]
        check_flows(backend)


@pytest.mark.parametrize("statement", [
    "SELECT uuid, book_uuid, name, state, meta, epoch, owner, created_at, updated_at FROM flowdetails",
    "UPDATE flowdetails SET state=coalesce(NULL, state), meta=coalesce(NULL, meta), updated_at=1.0",
    "INSERT INTO history (id, atom, old_state, new_state, at, owner) VALUES (1, 'a', NULL, 'X', 1.0, 'me')",
])  # fmt: skip
def test_a_program_of_an_earlier_version_that_has_the_database_open_is_refused(statement, tmp_path):
    """Its statements fail, so it releases the job, and its next connection names the version."""
    with (
        backends.backend(f"sqlite:///{tmp_path}/f.db") as backend,
        backend.engine.connect() as connection,
        pytest.raises(sa.exc.OperationalError, match=r"no such column|no column named"),
    ):
        connection.execute(sa.text(statement))


def test_a_migration_of_mysql_that_was_interrupted_can_be_repeated(mysql_url, monkeypatch):
    """MySQL commits each DDL statement: the next attempt continues where the last one stopped."""
    from alembic.operations import Operations

    with databases.new_database(mysql_url) as database, backends.fetch(database.url) as backend:
        store_old(backend, "0004")
        for stop_at in range(1, 12):
            calls = []

            def execute(self, *args, _calls=calls, _stop=stop_at, _real=Operations.execute, **kwargs):
                _calls.append(args)
                if len(_calls) == _stop:
                    raise KeyboardInterrupt
                return _real(self, *args, **kwargs)

            with monkeypatch.context() as patch, backend.get_connection() as conn:
                patch.setattr(Operations, "execute", execute)
                try:
                    conn.upgrade()
                except KeyboardInterrupt:
                    continue
                break
        with backend.get_connection() as conn:
            conn.upgrade()
        check_flows(backend)


def test_key_value_stores_of_an_earlier_version():
    with KVBackend("memory") as backend, backend.get_connection() as conn:
        for key, value in OLD["items"].items():
            backend.kv.commit(puts=[Put(key, value)])
        with pytest.raises(exc.StorageFailure, match="not prepared"):
            conn.validate()
        conn.upgrade()
        conn.validate()
        check_flows(backend)


def test_an_earlier_version_does_not_run_a_new_flow_of_a_key_value_store_without_its_inputs():
    """What it reads as metadata has a tag that its codec does not know, and says so."""
    from stackl_flow import codec

    with KVBackend("memory") as backend, backend.get_connection() as conn:
        conn.upgrade()
        engine = engines.load_from_factory(
            "tests.persistence.old_flows:make", ["new"], {"fails": 0}, {"base": 1}, backend=backend
        )
        row = backend.kv.get(f"persistence/flow/{engine.storage.flow_uuid}/row")
        _, _, meta, *_ = json.loads(row.value)
        with pytest.raises(exc.InvalidFormat, match="newer release"):
            codec.decode(meta)
