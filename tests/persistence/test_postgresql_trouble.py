"""PostgreSQL is restarted, connections are cut, answers are lost: what was stored stays, and lands once."""

import subprocess
import sys
import threading
import uuid

import psycopg
import psycopg.sql
import pytest
import sqlalchemy as sa

from stackl_flow import engines, states, task
from stackl_flow import exceptions as exc
from stackl_flow.patterns.linear_flow import Flow
from stackl_flow.persistence import backends, models
from stackl_flow.testing.books import saved_flow, with_tasks
from stackl_flow.testing.persistence import checkpoint, move

RIGHT, WRONG = "opens", "secret"
RUN = [("t0", None, states.RUNNING, 2.0)]
DONE = [("t0", states.RUNNING, states.SUCCESS, 3.0), (None, None, states.SUCCESS, 3.0)]


@pytest.fixture
def place(postgresql_url):
    """The server's address, the name of a schema of its own, and the address with it."""
    name = f"flows_{uuid.uuid4().hex}"
    with psycopg.connect(postgresql_url, autocommit=True) as server:
        server.execute(f"CREATE SCHEMA {name}")
        yield server, name, f"{postgresql_url}?options=-csearch_path%3D{name}&application_name={name}"
        server.execute(f"DROP SCHEMA {name} CASCADE")


def sql(words, name):
    """Put the name of a schema into a statement."""
    return psycopg.sql.SQL(words).format(psycopg.sql.Identifier(name))


def cut(server, name):
    """Cut every connection of that name."""
    query = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s"
    assert all(done for (done,) in server.execute(query, (name,)))


class Cut(task.Task):
    """Cuts the connections of its own engine, or restarts the server, while it is at work."""

    default_provides = "x"

    def __init__(self, name, trouble):
        super().__init__(name)
        self.trouble = trouble

    def execute(self):
        self.trouble()
        return 7


def through(address, trouble):
    """Run a flow with trouble in the middle of each task, and give its history."""
    flow = Flow("f").add(*(Cut(f"t{number}", trouble) for number in range(4)))
    with backends.backend(address) as backend, backend.get_connection() as conn:
        engine = engines.load(flow, backend=backend)
        engine.run()
        return engine, conn.get_history(engine.storage.flow_uuid)


def seen(history):
    return [(row.atom, row.old, row.new) for row in history]


def test_a_flow_outlives_cut_connections(place):
    server, name, address = place
    _, whole = through(address, lambda: None)
    _, history = through(address, lambda: cut(server, name))
    assert seen(history) == seen(whole)
    assert [row.seq for row in history] == list(range(1, len(history) + 1))


def test_a_flow_outlives_restarts_of_the_server(new_server):
    server = new_server("postgresql")
    _, whole = through(server.url, lambda: None)

    def again():
        server.kill()
        server.start()

    engine, history = through(server.url, again)
    assert engine.storage.fetch("x") == 7
    assert seen(history) == seen(whole)


def test_a_flow_waits_for_a_server_that_comes_back_later(new_server):
    server = new_server("postgresql")
    late = []

    def away():
        if not late:
            server.stop()
            late.append(threading.Timer(1.0, server.start))  # later than the first tries
            late[0].start()

    try:
        _, history = through(server.url, away)
    finally:
        late[0].join()
    assert seen(history)[-1] == (None, "RUNNING", "SUCCESS")


def lose_answers(monkeypatch, conn, *, landed):
    """Let the next commit's answer be lost with its connection, after it landed or before."""
    link, commit = conn._link, conn._link.commit

    def once():
        monkeypatch.setattr(link, "commit", commit)
        if landed:
            commit()
        link.raw.close()
        commit()

    monkeypatch.setattr(link, "commit", once)


@pytest.mark.parametrize("landed", [True, False])
@pytest.mark.parametrize("warm", [True, False])
def test_a_checkpoint_whose_answer_is_lost_lands_once(place, monkeypatch, landed, warm):
    with backends.backend(place[2]) as backend, backend.get_connection() as conn:
        flow, (one,) = with_tasks(backend, 1)
        epoch = conn.take_ownership(flow.uuid, "me", 1.0)
        if warm:
            conn.checkpoint(checkpoint(flow, epoch, [move(one, states.RUNNING)], RUN))
        lose_answers(monkeypatch, conn, landed=landed)
        conn.checkpoint(checkpoint(flow, epoch, [move(one, states.SUCCESS, "1")], DONE, states.SUCCESS))
        conn.checkpoint(checkpoint(flow, epoch, meta='{"a":1}'))
        history = conn.get_history(flow.uuid)
        assert [row[1:4] for row in history] == [row[:3] for row in (RUN if warm else []) + DONE]
        found = conn.get_flow_details(flow.uuid)
        assert (found.state, found.meta) == (states.SUCCESS, {"a": 1})
        assert conn.get_atom_details(one.uuid).results == 1


@pytest.mark.parametrize("landed", [True, False])
def test_an_owner_whose_answer_is_lost_and_who_is_superseded(place, monkeypatch, landed):
    """What landed before the other came is done; what did not is refused."""
    with backends.backend(place[2]) as backend, backend.get_connection() as conn:
        flow, (one,) = with_tasks(backend, 1)
        epoch = conn.take_ownership(flow.uuid, "me", 1.0)
        last = checkpoint(flow, epoch, [move(one, states.SUCCESS, "1")], DONE)
        link, commit = conn._link, conn._link.commit

        def once():
            monkeypatch.setattr(link, "commit", commit)
            if landed:
                commit()
            else:
                link.raw.rollback()  # as the server does when it finds the connection lost
            link.raw.close()
            with backend.get_connection() as other:
                other.take_ownership(flow.uuid, "other", 2.0)
            commit()

        monkeypatch.setattr(link, "commit", once)
        if landed:
            conn.checkpoint(last)
        with pytest.raises(exc.OwnershipLost):
            conn.checkpoint(last)
        assert len(conn.get_history(flow.uuid)) == (len(DONE) if landed else 0)


@pytest.mark.parametrize("landed", [True, False])
def test_verbs_whose_answers_are_lost(place, monkeypatch, landed):
    with backends.backend(place[2]) as backend, backend.get_connection() as conn:
        flow = saved_flow(backend)
        tasks = [models.TaskDetail(f"t{i}", models.new_uuid()) for i in range(3)]
        lose_answers(monkeypatch, conn, landed=landed)
        conn.add_atoms(flow.uuid, tasks)
        assert [atom.uuid for atom in conn.get_atoms_for_flow(flow.uuid)] == [atom.uuid for atom in tasks]
        with pytest.raises(exc.Duplicate):
            conn.add_atoms(flow.uuid, tasks)
        lose_answers(monkeypatch, conn, landed=landed)
        book = models.LogBook("late")
        conn.save_logbook(book)
        assert [found.name for found in conn.get_logbooks()] == ["book", "late"]
        lose_answers(monkeypatch, conn, landed=landed)
        epoch = conn.take_ownership(flow.uuid, "me", 1.0)
        assert conn.get_flow_record(flow.uuid).epoch == epoch
        lose_answers(monkeypatch, conn, landed=landed)
        conn.destroy_logbook(book.uuid)
        with pytest.raises(exc.NotFound):
            conn.destroy_logbook(book.uuid)


def test_a_warm_owner_who_is_superseded_writes_nothing(place):
    with backends.backend(place[2]) as backend, backend.get_connection() as conn:
        flow, (one,) = with_tasks(backend, 1)
        epoch = conn.take_ownership(flow.uuid, "me", 1.0)
        conn.checkpoint(checkpoint(flow, epoch, [move(one, states.RUNNING)], RUN))
        with backend.get_connection() as other:
            other.take_ownership(flow.uuid, "other", 2.0)
        with pytest.raises(exc.OwnershipLost, match="other"):
            conn.checkpoint(checkpoint(flow, epoch, [move(one, states.SUCCESS, "1")], DONE))
        assert conn.get_atom_details(one.uuid).state == states.RUNNING
        assert len(conn.get_history(flow.uuid)) == len(RUN)


def test_a_warm_checkpoint_lands_whole_or_not_at_all(place):
    with backends.backend(place[2]) as backend, backend.get_connection() as conn:
        flow, (one,) = with_tasks(backend, 1)
        epoch = conn.take_ownership(flow.uuid, "me", 1.0)
        conn.checkpoint(checkpoint(flow, epoch, [move(one, states.RUNNING)], RUN))
        stranger = models.TaskDetail("stranger", models.new_uuid())
        atoms = [move(one, states.SUCCESS, "1"), move(stranger, states.SUCCESS)]
        with pytest.raises(exc.NotFound, match=stranger.uuid):
            conn.checkpoint(checkpoint(flow, epoch, atoms, DONE))
        assert conn.get_atom_details(one.uuid).state == states.RUNNING
        assert len(conn.get_history(flow.uuid)) == len(RUN)
        twice = [move(one, states.RUNNING), move(one, states.SUCCESS, "1")]
        conn.checkpoint(checkpoint(flow, epoch, twice, DONE))
        assert conn.get_atom_details(one.uuid).results == 1


def test_an_owner_with_two_connections(place):
    """Each goes on from the other's last move."""
    with backends.backend(place[2]) as backend:
        flow, (one,) = with_tasks(backend, 1)
        with backend.get_connection() as first, backend.get_connection() as second:
            epoch = first.take_ownership(flow.uuid, "me", 1.0)
            for conn in (first, first, second, second, first, second):
                conn.checkpoint(checkpoint(flow, epoch, [move(one, states.RUNNING)], RUN))
            assert [row.seq for row in first.get_history(flow.uuid)] == list(range(1, 7))


@pytest.mark.parametrize("count", [1, 7, 300])
def test_checkpoints_of_many_atoms(place, count):
    with backends.backend(place[2]) as backend, backend.get_connection() as conn:
        flow, atoms = with_tasks(backend, count)
        epoch = conn.take_ownership(flow.uuid, "me", 1.0)
        for state in (states.RUNNING, states.SUCCESS):
            moves = [(atom.name, None, state, 2.0) for atom in atoms]
            conn.checkpoint(checkpoint(flow, epoch, [move(atom, state, "1") for atom in atoms], moves))
        assert {atom.state for atom in conn.get_atoms_for_flow(flow.uuid)} == {states.SUCCESS}
        assert [row.seq for row in conn.get_history(flow.uuid)] == list(range(1, 2 * count + 1))


def test_one_owner_of_many_who_take_at_once(place):
    """No epoch is given twice."""
    with backends.backend(place[2]) as backend:
        flow = saved_flow(backend)
        epochs = []

        def take():
            with backend.get_connection() as conn:
                epochs.extend(conn.take_ownership(flow.uuid, "me", 1.0) for _ in range(10))

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(epochs) == list(range(1, 41))


def test_a_deadlock_is_done_again(place):
    """Each of two holds what the other wants next: the server undoes one of them, which then goes on."""
    server, name, address = place
    with backends.backend(address) as backend, backend.get_connection() as conn:
        flow, (one,) = with_tasks(backend, 1)
        epoch = conn.take_ownership(flow.uuid, "me", 1.0)
        conn.checkpoint(checkpoint(flow, epoch, [move(one, states.RUNNING)], RUN))
        server.execute("BEGIN")
        server.execute(sql("SELECT 1 FROM {}.atomdetails WHERE uuid = %s FOR UPDATE", name), (one.uuid,))
        late = checkpoint(flow, epoch, [move(one, states.SUCCESS, "1")], DONE)
        writer = threading.Thread(target=conn.checkpoint, args=(late,))
        writer.start()
        waits = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND wait_event_type = 'Lock'"
        )
        with psycopg.connect(address.partition("?")[0], autocommit=True) as other:
            while not other.execute(waits, (name,)).fetchall():
                assert writer.is_alive()
        # The one who waits longer looks first; whoever is undone, the write lands once.
        try:
            server.execute(sql("SELECT 1 FROM {}.flowdetails WHERE uuid = %s FOR UPDATE", name), (flow.uuid,))
        except psycopg.errors.DeadlockDetected:
            pass
        finally:
            server.execute("ROLLBACK")
        writer.join()
        assert [row[1:4] for row in conn.get_history(flow.uuid)] == [row[:3] for row in RUN + DONE]


def fails(address, *words, verb="get_logbooks", kind=exc.StorageFailure):
    with (
        backends.fetch(address) as backend,
        backend.get_connection() as conn,
        pytest.raises(kind) as caught,
    ):
        getattr(conn, verb)()
    for word in words:
        assert word in str(caught.value)
    assert WRONG not in str(caught.value)
    return caught.value


def changed(address, **parts):
    url = sa.make_url(address.partition("?")[0]).set(**parts)
    return url.render_as_string(hide_password=False)


def test_server_is_down(place):
    nobody = changed(place[2], port=1, password=WRONG)
    error = fails(nobody, ":***@127.0.0.1:1", "see that the server runs")
    assert isinstance(error.cause, psycopg.OperationalError)


def test_database_is_missing(place):
    fails(changed(place[2], database="nobody_has_this"), "nobody_has_this", "create it first")


def test_wrong_password(new_server):
    server = new_server("postgresql")
    with psycopg.connect(server.url, autocommit=True) as conn:
        conn.execute("CREATE ROLE guest LOGIN PASSWORD 'opens'")
    (server.directory / "data" / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
    server.stop()
    server.start()
    fails(changed(server.url, username="guest", password=WRONG), "check user and password")
    fails(changed(server.url, username="guest"), "check user and password")
    allowed = changed(server.url, username="guest", password=RIGHT)
    fails(allowed, "give the user the right to make tables", verb="upgrade")
    fails(f"{allowed}?sslmode=require", "has no TLS", "sslmode")


def test_not_upgraded(place):
    fails(place[2], "not upgraded", "stackl-flow db upgrade --db")
    fails(place[2], "not upgraded", verb="validate")


def test_newer_than_the_code(place):
    server, name, address = place
    with backends.backend(address):
        server.execute(sql("UPDATE {}.stackl_flow_version SET version_num = '0999'", name))
    fails(address, "0999", "newer", "update stackl_flow", kind=exc.IncompatibleVersion)


def test_tables_of_another_program(place):
    server, name, address = place
    server.execute(f"CREATE TABLE {name}.logbooks (mine TEXT)")
    fails(address, "another program", "(logbooks)", "a database of its own", verb="upgrade")


def test_a_name_that_is_too_long(place):
    with backends.backend(place[2]) as backend, backend.get_connection() as conn:
        with pytest.raises(exc.StorageFailure, match="255 characters"):
            conn.save_logbook(models.LogBook("x" * 256))
        conn.save_logbook(models.LogBook("x" * 255))


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("postgresql://host:notaport/db", "postgresql://"),
        ("postgresql://host", "names no database"),
        ("postgresql://host/db?colour=red", "colour"),
        ("postgresql://host/db?save_attempts=0", "save_attempts"),
    ],
)
def test_address_that_makes_no_sense(address, word):
    with pytest.raises(exc.InvalidFormat, match=word):
        backends.fetch(address)


def test_many_processes_upgrade_at_once(place):
    code = (
        "import sys; from stackl_flow.persistence import backends\nwith backends.backend(sys.argv[1]): pass"
    )
    children = [subprocess.Popen([sys.executable, "-c", code, place[2]]) for _ in range(4)]
    assert [child.wait() for child in children] == [0] * 4
    with backends.fetch(place[2]) as backend, backend.get_connection() as conn:
        conn.validate()
