"""PostgreSQL is restarted, connections are cut, answers are lost: every write is applied once."""

import threading

import psycopg
import psycopg.sql
import pytest
import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow import states
from stackl_flow.persistence import backends
from stackl_flow.testing.contracts.persistence import atom_update, checkpoint, with_tasks
from tests.persistence.server_failures import (
    DONE,
    RUN,
    WRONG,
    ServerFailureContract,
    Target,
    fails,
)
from tests.support import databases

RIGHT = "opens"


@pytest.fixture
def target(postgresql_url):
    with databases.new_schema(postgresql_url) as (url, name, server):

        def cut():
            query = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s"
            assert all(done for (done,) in server.execute(query, (name,)))

        yield Target(url, cut, server, name)


def sql(text, name):
    """Put the name of a schema into a statement."""
    return psycopg.sql.SQL(text).format(psycopg.sql.Identifier(name))


class TestServerFailures(ServerFailureContract):
    @pytest.fixture
    def target(self, target):
        return target

    @pytest.fixture
    def server(self, new_server):
        return new_server("postgresql")


def test_a_deadlock_is_retried(target):
    """Of two transactions that wait for each other, the server rolls one back, which is retried."""
    url, _, server, name = target
    with backends.backend(url) as backend, backend.get_connection() as conn:
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
        with psycopg.connect(url.partition("?")[0], autocommit=True) as other:
            while not other.execute(waits, (name,)).fetchall():
                assert writer.is_alive()
        # Whichever transaction is rolled back, the write is applied once.
        try:
            server.execute(sql("SELECT 1 FROM {}.flowdetails WHERE uuid = %s FOR UPDATE", name), (flow.uuid,))
        except psycopg.errors.DeadlockDetected:
            pass
        finally:
            server.execute("ROLLBACK")
        writer.join()
        assert [row[1:4] for row in conn.get_history(flow.uuid)] == [row[:3] for row in RUN + DONE]


def changed(url, **parts):
    changed_url = sa.make_url(url.partition("?")[0]).set(**parts)
    return changed_url.render_as_string(hide_password=False)


def test_server_is_down(target):
    unreachable = changed(target.url, port=1, password=WRONG)
    error = fails(unreachable, ":***@127.0.0.1:1", "check that the server runs")
    assert isinstance(error.cause, psycopg.OperationalError)


def test_database_is_missing(target):
    fails(changed(target.url, database="no_such_database"), "no_such_database", "create it first")


def test_wrong_password(new_server):
    server = new_server("postgresql")
    with psycopg.connect(server.url, autocommit=True) as conn:
        conn.execute("CREATE ROLE guest LOGIN PASSWORD 'opens'")
    fails(changed(server.url, username="unknown"), "check user and password")
    (server.directory / "data" / "pg_hba.conf").write_text("host all all 127.0.0.1/32 scram-sha-256\n")
    server.stop()
    server.start()
    fails(changed(server.url, username="guest", password=WRONG), "check user and password")
    fails(changed(server.url, username="guest"), "check user and password")
    allowed = changed(server.url, username="guest", password=RIGHT)
    fails(allowed, "grant the user the right to create tables", verb="upgrade")
    fails(f"{allowed}?sslmode=require", "has no TLS", "sslmode")


def test_newer_schema(target):
    url, _, server, name = target
    with backends.backend(url):
        server.execute(sql("UPDATE {}.stackl_flow_version SET version_num = '0999'", name))
    fails(url, "0999", "newer", "update stackl_flow", kind=exc.IncompatibleVersion)


def test_tables_of_another_program(target):
    url, _, server, name = target
    server.execute(f"CREATE TABLE {name}.logbooks (mine TEXT)")
    fails(url, "another program", "(logbooks)", "a database of its own", verb="upgrade")


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("postgresql://host:notaport/db", "postgresql://"),
        ("postgresql://host", "names no database"),
        ("postgresql://host/db?colour=red", "colour"),
        ("postgresql://host/db?max_attempts=0", "max_attempts"),
    ],
)
def test_invalid_urls(url, text):
    with pytest.raises(exc.InvalidFormat, match=text):
        backends.fetch(url)
