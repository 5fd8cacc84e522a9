"""What a step writes does not depend on the size of inputs, results or histories: measured on each backend.

SQLite and the directory are measured by what the process writes, PostgreSQL and MariaDB by their logs, and
the other stores by the items that are put.
"""

import json
import uuid
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from stackl_flow import FunctorTask, GraphFlow, LinearFlow, UnorderedFlow, engines, retry, states, task
from stackl_flow.persistence import backends
from tests.support import databases

KINDS = ["sqlite", "directory", "memory", "postgresql", "mysql", "redis", "etcd", "zookeeper"]
#: ZooKeeper accepts values of less than a million bytes.
LARGE = 700_000
ONLY_STEPS = 350_000
"""More than all steps of these flows write, and much less than one large value."""


@contextmanager
def log_of_postgresql(url):
    with psycopg.connect(url, autocommit=True) as server:
        yield lambda: int(server.execute("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')").fetchone()[0])


@contextmanager
def log_of_mysql(url):
    engine = sa.create_engine(sa.make_url(url).set(drivername=databases.DRIVERS["mysql"]))
    query = sa.text("SHOW GLOBAL STATUS LIKE 'Innodb_os_log_written'")
    with engine.connect() as server:
        yield lambda: int(server.execute(query).fetchone()[1])
    engine.dispose()


def written_by_process():
    return next(
        int(line.split()[1])
        for line in Path("/proc/self/io").read_text().splitlines()
        if line.startswith("wchar")
    )


@contextmanager
def puts_of(backend):
    total = 0
    commit = backend.kv._commit

    def counted(checks, puts, deletes, lease):
        nonlocal total
        total += sum(len(put.key) + len(put.value) for put in puts)
        return commit(checks, puts, deletes, lease)

    backend.kv._commit = counted
    yield lambda: total


@pytest.fixture(params=KINDS)
def measured(request, tmp_path):
    """An empty backend, and a function that returns how many bytes were written so far."""
    kind = request.param
    if kind in {"sqlite", "directory"}:
        url = f"sqlite:///{tmp_path}/f.db" if kind == "sqlite" else f"dir://{tmp_path}/d"
        with backends.backend(url) as backend:
            yield backend, written_by_process
        return
    if kind == "postgresql":
        with (
            databases.new_schema(request.getfixturevalue("postgresql_url")) as schema,
            backends.backend(schema.url) as backend,
            log_of_postgresql(schema.url) as written,
        ):
            yield backend, written
        return
    if kind == "mysql":
        with (
            databases.new_database(request.getfixturevalue("mysql_url")) as database,
            backends.backend(database.url) as backend,
            log_of_mysql(database.url) as written,
        ):
            yield backend, written
        return
    if kind == "memory":
        from stackl_flow.persistence.backends.kv import KVBackend

        with KVBackend("memory") as backend, backend.get_connection() as conn:
            conn.upgrade()
            with puts_of(backend) as written:
                yield backend, written
        return
    server = request.getfixturevalue(f"{kind}_url")
    url = f"{server}?namespace={uuid.uuid4()}" if kind == "redis" else f"{server}/{uuid.uuid4()}"
    with backends.backend(url) as backend, puts_of(backend) as written:
        yield backend, written


def steps(count):
    flow = LinearFlow("steps")
    for number in range(count):
        pair = UnorderedFlow(f"pair{number}")
        pair.add(FunctorTask(lambda: None, name=f"a{number}"), FunctorTask(lambda: None, name=f"b{number}"))
        flow.add(pair)
    return flow


def test_inputs(measured):
    backend, written = measured
    engine = engines.load(steps(10), store={"blob": "x" * LARGE, "small": 1}, backend=backend)
    engine.compile()
    engine.prepare()
    before = written()
    engine.run()
    assert written() - before < ONLY_STEPS
    with backend.get_connection() as conn:
        detail = conn.get_flow_details(engine.storage.flow_uuid)
    assert detail.state == states.SUCCESS
    assert detail.meta["injected"] == {"blob": "x" * LARGE, "small": 1}
    assert "batch" not in detail.meta


def test_inputs_are_written_once_by_load_and_prepare(measured):
    backend, written = measured
    before = written()
    engine = engines.load(steps(1), store={"blob": "x" * LARGE}, backend=backend)
    engine.compile()
    engine.prepare()
    engine.run()
    # A file is written twice: first to its log.
    assert written() - before < 2 * LARGE + ONLY_STEPS


def test_an_input_that_is_added_later(measured):
    backend, written = measured
    engine = engines.load(steps(1), store={"blob": "x" * LARGE}, backend=backend)
    engine.compile()
    engine.prepare()
    before = written()
    engine.storage.inject({"small": 2})
    engine.storage.update_flow_metadata({"mine": [1]})
    assert written() - before < ONLY_STEPS
    with backend.get_connection() as conn:
        meta = conn.get_flow_details(engine.storage.flow_uuid).meta
    assert (meta["injected"]["small"], len(meta["injected"]["blob"]), meta["mine"]) == (2, LARGE, [1])


class Large(task.Task):
    default_provides = "large"

    def execute(self):
        return "y" * LARGE

    def revert(self, result, **_):
        for part in (0.25, 0.5, 0.75):
            self.update_progress(part)


class Fails(task.Task):
    def execute(self):
        raise RuntimeError("no")


def test_a_result_is_written_once(measured):
    """Neither its transitions nor its progress write it again, also after the flow was resumed."""
    backend, written = measured
    engine = engines.load(LinearFlow("f").add(Large("large"), Fails("fails")), backend=backend)
    before = written()
    for state in engine.run_iter():
        if engine.storage.get_atom_state("large") == states.SUCCESS and state == "SCHEDULING":
            break
    with pytest.raises(RuntimeError):
        engine.run()
    assert written() - before < 2 * LARGE + ONLY_STEPS
    with backend.get_connection() as conn:
        large, _ = conn.get_atoms_for_flow(engine.storage.flow_uuid)
    assert (large.state, large.results) == (states.REVERTED, "y" * LARGE)


def test_the_history_of_a_retry_is_appended(measured):
    backend, written = measured
    counts = []
    for attempts in (5, 20):
        flow = LinearFlow("f", retry=retry.Times(attempts, name="r")).add(Fails("fails"))
        engine = engines.load(flow, backend=backend)
        engine.compile()
        engine.prepare()
        before = written()
        with pytest.raises(RuntimeError):
            engine.run()
        counts.append((written() - before) / attempts)
    few, many = counts
    assert many < 2.0 * few


def test_history_of_a_retry_is_read_as_it_was(measured):
    backend, _ = measured
    seen = []

    class Remember(retry.Times):
        def on_failure(self, history, *args, **kwargs):
            seen.append([(value, {k: str(f) for k, f in failures.items()}) for value, failures in history])
            if len(history) == 4:
                with backend.get_connection() as conn:
                    atoms = {atom.name: atom for atom in conn.get_atoms_for_flow(engine.storage.flow_uuid)}
                stored.append(atoms["r"].results)
            return super().on_failure(history, *args, **kwargs)

    stored = []
    flow = GraphFlow("f", retry=Remember(5, name="r")).add(Fails("one"))
    engine = engines.load(flow, backend=backend)
    with pytest.raises(RuntimeError):
        engine.run()
    assert [len(history) for history in seen] == [1, 2, 3, 4, 5]
    assert [value for value, _ in stored[0]] == [1, 2, 3, 4]
    assert [list(failures) for _, failures in stored[0]] == [["one"]] * 3 + [[]]
    assert all(f.exception_str == "no" for _, failures in stored[0][:3] for f in failures.values())


def test_metadata_for_programs_written_for_taskflow(measured):
    """It is one dictionary that can be read, written as JSON and changed, although its parts have rows."""
    backend, _ = measured
    engine = engines.load(steps(1), store={"x": 1}, backend=backend)
    flow_uuid = engine.storage.flow_uuid
    factory = {"name": "shop:order", "args": [1], "kwargs": {"size": 2}}
    with backend.get_connection() as conn:
        detail = conn.get_flow_details(flow_uuid)
        detail.meta.update(store={"y": {"z": "w" * 5000}}, factory=factory, mine="v" * 3000)
        conn.update_flow_details(detail)
    with backend.get_connection() as conn:
        for lazy in (True, False):
            meta = conn.get_flow_details(flow_uuid, lazy=lazy).meta
            assert isinstance(meta, dict)
            assert meta["store"] == {"y": {"z": "w" * 5000}}
            expected = {"injected": {"x": 1}, "store": meta["store"], "factory": factory, "mine": "v" * 3000}
            for copied in (meta, dict(meta), {**meta}, json.loads(json.dumps(meta)), meta | {}, meta.copy()):
                assert copied == expected
            unread = conn.get_flow_details(flow_uuid, lazy=True).meta
            assert json.loads(json.dumps(unread)) == expected
            assert {**conn.get_flow_details(flow_uuid, lazy=True).meta} == expected
        detail = conn.get_flow_details(flow_uuid, lazy=True)
        detail.meta["store"]["y"] = 3
        del detail.meta["factory"]
        conn.update_flow_details(detail)
        again = conn.get_flow_details(flow_uuid, lazy=True)
        assert (again.meta["store"], "factory" in again.meta) == ({"y": 3}, False)
        unchanged = conn.get_flow_details(flow_uuid, lazy=True)
        conn.update_flow_details(unchanged)
        found = conn.get_flow_details(flow_uuid).meta
    assert (found["store"], found["injected"], found["mine"]) == ({"y": 3}, {"x": 1}, "v" * 3000)
