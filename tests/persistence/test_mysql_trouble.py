"""MariaDB is restarted, connections are killed, answers are lost: what was stored stays, and lands once."""

import subprocess
import sys
import threading
import uuid

import pytest
import sqlalchemy as sa

from stackl_flow import engines, states, task
from stackl_flow import exceptions as exc
from stackl_flow.patterns.linear_flow import Flow
from stackl_flow.persistence import backends, models
from stackl_flow.testing.books import saved_flow, with_tasks
from stackl_flow.testing.persistence import checkpoint, move

RUN = [("t0", None, states.RUNNING, 2.0)]
DONE = [("t0", states.RUNNING, states.SUCCESS, 3.0), (None, None, states.SUCCESS, 3.0)]
WRONG = "secret"


@pytest.fixture
def place(mysql_url):
    """A connection to the server, and the address of a database of its own."""
    name = f"flows_{uuid.uuid4().hex}"
    engine = sa.create_engine(
        sa.make_url(mysql_url).set(drivername="mysql+pymysql"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as server:
        server.execute(sa.text(f"CREATE DATABASE {name}"))
        yield server, mysql_url.rpartition("/")[0] + f"/{name}"
        server.execute(sa.text(f"DROP DATABASE {name}"))
    engine.dispose()


def cut(server, address):
    """Kill every connection to a database."""
    query = sa.text("SELECT id FROM information_schema.processlist WHERE db = :name")
    found = server.execute(query, {"name": address.rpartition("/")[2]}).scalars().all()
    assert found
    for number in found:
        server.execute(sa.text(f"KILL {number}"))


class Trouble(task.Task):
    """Makes trouble for the database of its own engine, while it is at work."""

    default_provides = "x"

    def __init__(self, name, trouble):
        super().__init__(name)
        self.trouble = trouble

    def execute(self):
        self.trouble()
        return 7


def through(address, trouble):
    flow = Flow("f").add(*(Trouble(f"t{number}", trouble) for number in range(3)))
    with backends.backend(address) as backend, backend.get_connection() as conn:
        engine = engines.load(flow, backend=backend)
        engine.run()
        return [row[:4] for row in conn.get_history(engine.storage.flow_uuid)]


def test_a_flow_outlives_killed_connections(place):
    server, address = place
    whole = through(address, lambda: None)
    assert through(address, lambda: cut(server, address)) == whole


def test_a_flow_outlives_restarts_of_the_server(new_server):
    server = new_server("mysql")
    whole = through(server.url, lambda: None)

    def again():
        server.kill()
        server.start()

    assert through(server.url, again) == whole


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
    with backends.backend(place[1]) as backend, backend.get_connection() as conn:
        flow, (one,) = with_tasks(backend, 1)
        epoch = conn.take_ownership(flow.uuid, "me", 1.0)
        if warm:
            conn.checkpoint(checkpoint(flow, epoch, [move(one, states.RUNNING)], RUN))
        lose_answers(monkeypatch, conn, landed=landed)
        conn.checkpoint(checkpoint(flow, epoch, [move(one, states.SUCCESS, "1")], DONE, states.SUCCESS))
        history = conn.get_history(flow.uuid)
        assert [row[1:4] for row in history] == [row[:3] for row in (RUN if warm else []) + DONE]
        assert conn.get_atom_details(one.uuid).results == 1


@pytest.mark.parametrize("landed", [True, False])
def test_verbs_whose_answers_are_lost(place, monkeypatch, landed):
    with backends.backend(place[1]) as backend, backend.get_connection() as conn:
        flow = saved_flow(backend)
        tasks = [models.TaskDetail(f"t{i}", models.new_uuid()) for i in range(3)]
        lose_answers(monkeypatch, conn, landed=landed)
        conn.add_atoms(flow.uuid, tasks)
        assert [atom.uuid for atom in conn.get_atoms_for_flow(flow.uuid)] == [atom.uuid for atom in tasks]
        with pytest.raises(exc.Duplicate):
            conn.add_atoms(flow.uuid, tasks)
        book = models.LogBook("late")
        conn.save_logbook(book)
        lose_answers(monkeypatch, conn, landed=landed)
        conn.destroy_logbook(book.uuid)
        with pytest.raises(exc.NotFound):
            conn.destroy_logbook(book.uuid)


def test_one_owner_of_many_who_take_at_once(place):
    """No epoch is given twice."""
    with backends.backend(place[1]) as backend:
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


def test_large_values_and_names_that_differ_in_case(place):
    with backends.backend(place[1]) as backend, backend.get_connection() as conn:
        flow, (one,) = with_tasks(backend, 1)
        epoch = conn.take_ownership(flow.uuid, "me", 1.0)
        text = "é😀" * 50_000
        conn.checkpoint(checkpoint(flow, epoch, [move(one, states.SUCCESS, f'"{text}"')], RUN))
        assert conn.get_atom_details(one.uuid).results == text
        for uid in ("a-book", "A-BOOK"):
            conn.save_logbook(models.LogBook("x", uid))
        assert len(conn.get_logbooks()) == 3
        with pytest.raises(exc.StorageFailure, match="255 characters"):
            conn.save_logbook(models.LogBook("x" * 256))


def fails(address, *words, verb="get_logbooks"):
    with (
        backends.fetch(address) as backend,
        backend.get_connection() as conn,
        pytest.raises(exc.StorageFailure) as caught,
    ):
        getattr(conn, verb)()
    for word in words:
        assert word in str(caught.value)
    assert WRONG not in str(caught.value)


def test_what_cannot_be_used(place):
    url = sa.make_url(place[1])

    def changed(**parts):
        return url.set(**parts).render_as_string(hide_password=False)

    fails(changed(port=1, password=WRONG), ":***@127.0.0.1:1", "see that the server runs")
    fails(changed(database="nobody_has_this"), "nobody_has_this", "create it first")
    fails(changed(username="nobody", password=WRONG), "check user and password")
    fails(f"{place[1]}?ssl_verify_cert=yes&ssl_ca=/dev/null", "TLS")
    fails(place[1], "not upgraded", "stackl-flow db upgrade --db")
    place[0].execute(sa.text(f"CREATE TABLE {url.database}.logbooks (mine TEXT)"))
    fails(place[1], "another program", "(logbooks)", verb="upgrade")


def test_many_processes_upgrade_at_once(place):
    code = (
        "import sys\nfrom stackl_flow.persistence import backends\nwith backends.backend(sys.argv[1]): pass"
    )
    children = [subprocess.Popen([sys.executable, "-c", code, place[1]]) for _ in range(4)]
    assert [child.wait() for child in children] == [0] * 4
    address = place[1].replace("mysql:", "mariadb:")
    with backends.fetch(address) as backend, backend.get_connection() as conn:
        conn.validate()
