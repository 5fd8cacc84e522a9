"""PostgreSQL is restarted, connections are cut, answers are lost: what was stored stays, and lands once."""

import threading
import uuid

import psycopg
import psycopg.sql
import pytest
import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow import states
from stackl_flow.persistence import backends
from stackl_flow.testing.contracts.persistence import atom_update, checkpoint, with_tasks
from tests.persistence.trouble import DONE, RUN, WRONG, Place, TroubleContract, fails

RIGHT = "opens"


@pytest.fixture
def place(postgresql_url):
    """A schema of its own."""
    name = f"flows_{uuid.uuid4().hex}"
    with psycopg.connect(postgresql_url, autocommit=True) as server:
        server.execute(f"CREATE SCHEMA {name}")

        def cut():
            query = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s"
            assert all(done for (done,) in server.execute(query, (name,)))

        yield Place(
            f"{postgresql_url}?options=-csearch_path%3D{name}&application_name={name}", cut, server, name
        )
        server.execute(f"DROP SCHEMA {name} CASCADE")


def sql(words, name):
    """Put the name of a schema into a statement."""
    return psycopg.sql.SQL(words).format(psycopg.sql.Identifier(name))


class TestTrouble(TroubleContract):
    @pytest.fixture
    def place(self, place):
        return place

    @pytest.fixture
    def server(self, new_server):
        return new_server("postgresql")


def test_a_deadlock_is_done_again(place):
    """Each of two holds what the other wants next: the server undoes one of them, which then goes on."""
    address, _, server, name = place
    with backends.backend(address) as backend, backend.get_connection() as conn:
        flow, (one,) = with_tasks(backend, 1)
        epoch = conn.take_ownership(flow.uuid, "me", 1.0)
        conn.checkpoint(checkpoint(flow, epoch, [atom_update(one, states.RUNNING)], RUN))
        server.execute("BEGIN")
        server.execute(sql("SELECT 1 FROM {}.atomdetails WHERE uuid = %s FOR UPDATE", name), (one.uuid,))
        late = checkpoint(flow, epoch, [atom_update(one, states.SUCCESS, "1")], DONE)
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


def changed(address, **parts):
    url = sa.make_url(address.partition("?")[0]).set(**parts)
    return url.render_as_string(hide_password=False)


def test_server_is_down(place):
    nobody = changed(place.address, port=1, password=WRONG)
    error = fails(nobody, ":***@127.0.0.1:1", "check that the server runs")
    assert isinstance(error.cause, psycopg.OperationalError)


def test_database_is_missing(place):
    fails(changed(place.address, database="nobody_has_this"), "nobody_has_this", "create it first")


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
    fails(allowed, "grant the user the right to create tables", verb="upgrade")
    fails(f"{allowed}?sslmode=require", "has no TLS", "sslmode")


def test_newer_than_the_code(place):
    address, _, server, name = place
    with backends.backend(address):
        server.execute(sql("UPDATE {}.stackl_flow_version SET version_num = '0999'", name))
    fails(address, "0999", "newer", "update stackl_flow", kind=exc.IncompatibleVersion)


def test_tables_of_another_program(place):
    address, _, server, name = place
    server.execute(f"CREATE TABLE {name}.logbooks (mine TEXT)")
    fails(address, "another program", "(logbooks)", "a database of its own", verb="upgrade")


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("postgresql://host:notaport/db", "postgresql://"),
        ("postgresql://host", "names no database"),
        ("postgresql://host/db?colour=red", "colour"),
        ("postgresql://host/db?max_attempts=0", "max_attempts"),
    ],
)
def test_address_that_makes_no_sense(address, word):
    with pytest.raises(exc.InvalidFormat, match=word):
        backends.fetch(address)
