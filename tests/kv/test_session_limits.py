"""Limits of database servers: idle sessions are ended, connections run out, a pooler keeps no session."""

import threading
import time
from contextlib import ExitStack, closing

import psycopg
import pymysql
import pytest
import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow import urls
from stackl_flow.databases import open_database
from stackl_flow.kv import backends
from stackl_flow.kv.items import Put
from stackl_flow.persistence import backends as flows
from stackl_flow.testing.contracts.persistence import saved_flow
from tests.conftest import make_server
from tests.support import databases


def wait_until(condition):
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture
def schema(postgresql_url):
    with databases.new_schema(postgresql_url) as schema:
        yield schema


@pytest.mark.parametrize(
    "setting", ["idle_session_timeout", "idle_in_transaction_session_timeout", "statement_timeout"]
)
def test_an_ended_session_is_replaced(schema, setting):
    """A session that the server ended (57P05) is replaced, and the operation is retried."""
    url = schema.url.replace("options=", f"options=-c{setting}%3D300%20")
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s"
    with backends.fetch(url) as kv, flows.backend(url) as backend:
        kv.commit(puts=[Put("a", "1")])
        flow = saved_flow(backend)
        if setting == "idle_session_timeout":
            wait_until(lambda: schema.server.execute(sessions, (schema.name,)).fetchone() == (0,))
        assert kv.get("a").value == "1"
        with backend.get_connection() as connection:
            assert connection.get_flow_details(flow.uuid).uuid == flow.uuid


@pytest.mark.parametrize("state", ["57P01", "57P02", "57P03", "57P05", "25P03", "25P04", "53300", "08006"])
def test_states_that_are_retried(state):
    """Whatever the server says when it ends a session or cannot take one, both stores try again."""
    database = open_database(urls.parse("postgresql://host/db"))
    kind = database.explain(type("Error", (psycopg.OperationalError,), {"sqlstate": state})("text")).kind
    assert kind.name in {"DISCONNECTED", "UNAVAILABLE"}


def test_too_many_clients_of_postgresql(new_server):
    server = new_server("postgresql", "-c", "max_connections=4", "-c", "superuser_reserved_connections=0")
    with ExitStack() as stack, backends.fetch({"connection": server.url, "timeout": 1}) as kv:
        for _ in range(4):
            stack.enter_context(psycopg.connect(server.url))
        with pytest.raises(exc.StorageFailure, match=r"too many connections: .*max_connections"):
            kv.get("a")
        with (
            flows.fetch(f"{server.url}?max_attempts=1") as backend,
            backend.get_connection() as connection,
            pytest.raises(exc.StorageFailure, match=r"too many connections: .*max_connections"),
        ):
            connection.get_logbooks()
        stack.close()
        assert kv.get("a") is None


def test_too_many_clients_of_one_role(schema):
    schema.server.execute(f"CREATE ROLE {schema.name} LOGIN CONNECTION LIMIT 0")
    try:
        url = sa.make_url(schema.url.partition("?")[0]).set(username=schema.name)
        with (
            backends.fetch(url.render_as_string(hide_password=False)) as kv,
            pytest.raises(exc.StorageFailure, match=r"too many connections: .*limit of the role"),
        ):
            kv.get("a")
    finally:
        schema.server.execute(f"DROP ROLE {schema.name}")


def test_too_many_clients_of_mariadb(new_server):
    server = new_server("mysql", "--max-connections=10", "--extra-max-connections=1")
    url = sa.make_url(server.url)
    with closing(pymysql.connect(host=url.host, port=url.port, user="root")) as root:
        root.query("CREATE USER one IDENTIFIED BY '' WITH MAX_USER_CONNECTIONS 1")
        root.query("GRANT ALL ON *.* TO one")
    with ExitStack() as stack:
        stack.enter_context(closing(pymysql.connect(host=url.host, port=url.port, user="one")))
        limited = url.set(username="one").render_as_string(hide_password=False)
        with (
            backends.fetch(limited) as kv,
            pytest.raises(exc.StorageFailure, match=r"too many connections: .*limit of the user"),
        ):
            kv.get("a")
        for _ in range(20):
            try:
                one = pymysql.connect(host=url.host, port=url.port, user="root")
            except pymysql.err.OperationalError:
                break
            stack.enter_context(closing(one))
        with (
            backends.fetch(server.url) as kv,
            pytest.raises(exc.StorageFailure, match=r"too many connections: .*max_connections"),
        ):
            kv.get("a")


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_a_statement_is_limited(kind, postgresql_url, mysql_url):
    """A lock that another transaction holds does not hang the waiting one for ever."""
    server_url = {"postgresql": postgresql_url, "mysql": mysql_url}[kind]
    with (
        databases.new_database(server_url) as database,
        backends.fetch(f"{database.url}?statement_timeout=1") as kv,
    ):
        kv.commit(puts=[Put("a", "1")])
        engine = sa.create_engine(
            sa.make_url(database.url).set(drivername=databases.DRIVERS[kind]),
            isolation_level="READ COMMITTED",
        )
        with engine.begin() as other:
            other.exec_driver_sql("SELECT * FROM kv_items FOR UPDATE").all()
            other.exec_driver_sql("UPDATE kv_state SET revision = revision")
            begun = time.monotonic()
            with pytest.raises(exc.StorageFailure, match="statement_timeout"):
                kv.commit(puts=[Put("a", "2")])
            assert time.monotonic() - begun < 20
        kv.commit(puts=[Put("a", "3")])
        engine.dispose()


def test_limits_of_the_server_are_kept(schema):
    """A limit that the server or the role has is kept, unless the URL has one."""
    shown = sa.text("SHOW statement_timeout")

    def limit(url):
        engine = open_database(urls.parse(url)).create_engine()
        with engine.connect() as connection:
            raw = connection.connection.driver_connection
            found = connection.execute(shown).scalar_one(), raw.read_timeout
        engine.dispose()
        return found

    assert limit(schema.url) == ("30s", 35.0)
    assert limit(f"{schema.url}&statement_timeout=2.5") == ("2500ms", 7.5)
    assert limit(f"{schema.url}&statement_timeout=0") == ("0", None)
    assert limit(f"{schema.url}&statement_timeout=0&read_timeout=9") == ("0", 9.0)
    own = schema.url.replace("options=", "options=-cstatement_timeout%3D2min%20")
    assert limit(own) == ("2min", 125.0)
    assert limit(f"{own}&statement_timeout=1") == ("1s", 6.0)


@pytest.mark.parametrize("name", ["timeout", "read_timeout", "tcp_user_timeout", "keepalives_idle"])
@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_invalid_limits(scheme, name):
    with pytest.raises(exc.InvalidFormat, match=f"'{name}'"):
        backends.fetch(f"{scheme}://host/db?{name}=0")


@pytest.fixture
def pooler(new_server):
    """Return a function that starts pgbouncer in front of a server, in a mode."""
    made = []

    def start(mode):
        server = new_server("postgresql")
        pooler = make_server("pgbouncer", options=[mode, str(server.port)])
        made.append(pooler)
        pooler.start()
        return server.url.replace(f":{server.port}", f":{pooler.port}")

    yield start
    for pooler in made:
        pooler.close()


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pooler_without_sessions_is_named(pooler, mode):
    url = pooler(mode)
    message = "connection pooler in transaction mode.*pool_mode=session"
    with backends.fetch(url) as kv, pytest.raises(exc.StorageFailure, match=message):
        kv.commit(puts=[Put("a", "1")])
    with (
        flows.fetch(f"{url}?max_attempts=1") as backend,
        backend.get_connection() as connection,
        pytest.raises(exc.StorageFailure, match=message),
    ):
        connection.upgrade()


def test_a_pooler_with_sessions_works(pooler):
    url = pooler("session")
    with backends.fetch(url) as kv, backends.fetch(url) as other:
        mark = other.wait()
        seen = []
        waiter = threading.Thread(target=lambda: seen.append(other.wait("a", mark, 30)))
        waiter.start()
        kv.commit(puts=[Put("a", "1")])
        waiter.join()
        assert seen != [mark]
    with flows.backend(url) as backend:
        assert saved_flow(backend).uuid


def test_a_pooler_that_refuses_an_option_is_named(pooler):
    url = pooler("session")
    with (
        backends.fetch(f"{url}?options=-csearch_path%3Dx") as kv,
        pytest.raises(exc.StorageFailure, match="ignore_startup_parameters"),
    ):
        kv.get("a")
