"""Jobs posted in the caller's own transaction: they are committed with the caller's rows, or never."""

import contextlib
import os
import signal
import sqlite3
import threading
import time
import uuid

import psycopg
import psycopg.rows
import pymysql
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from stackl_flow import exceptions as exc
from stackl_flow.conductors import Conductor
from stackl_flow.jobboards import backends as boards
from stackl_flow.patterns import linear_flow
from stackl_flow.persistence import backends as stores
from stackl_flow.submission import post_flow
from stackl_flow.task import FunctorTask
from stackl_flow.testing.crash import start_child, wait_child

DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql", "sqlite": "sqlite"}
WRONG = "hunter2"
LONG = 30


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def address(request, tmp_path):
    """A new database with a table of the caller's."""
    if request.param == "sqlite":
        yield from with_table(f"sqlite:///{tmp_path}/shop.db")
        return
    url = request.getfixturevalue(f"{request.param}_url")
    name = f"joined_{uuid.uuid4().hex}"
    server = sa.create_engine(
        sa.make_url(url).set(drivername=DRIVERS[request.param]), isolation_level="AUTOCOMMIT"
    )
    with server.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
        yield from with_table(url.rpartition("/")[0] + f"/{name}")
        forced = " WITH (FORCE)" if request.param == "postgresql" else ""
        connection.execute(sa.text(f"DROP DATABASE {name}{forced}"))
    server.dispose()


def with_table(address):
    engine = engine_of(address)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE orders (name VARCHAR(50))"))
    yield address
    engine.dispose()


def engine_of(address):
    url = sa.make_url(address)
    return sa.create_engine(url.set(drivername=DRIVERS[url.drivername]))


def raw_of(address):
    """Return a connection of the driver, whose rows are not tuples."""
    url = sa.make_url(address)
    if url.drivername == "sqlite":
        raw = sqlite3.connect(url.database)
        raw.row_factory = lambda _, row: {"row": row}
        return raw
    arguments = {"host": url.host, "port": url.port, "user": url.username}
    if url.drivername == "postgresql":
        return psycopg.connect(dbname=url.database, row_factory=psycopg.rows.dict_row, **arguments)
    return pymysql.connect(database=url.database, cursorclass=pymysql.cursors.DictCursor, **arguments)


def insert(own, name):
    statement = f"INSERT INTO orders VALUES ('{name}')"  # noqa: S608  ours
    if isinstance(own, (sa.Connection, Session)):
        own.execute(sa.text(statement))
    else:
        own.cursor().execute(statement)


@contextlib.contextmanager
def open_connection(address, kind):
    """Open one of the kinds of connection that a caller may have."""
    engine = engine_of(address)
    if kind == "connection":
        with engine.connect() as own:
            yield own
    elif kind == "session":
        with Session(engine) as own:
            yield own
    else:
        own = raw_of(address)
        yield own
        own.close()
    engine.dispose()


def rows(address):
    engine = engine_of(address)
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT name FROM orders ORDER BY name")).scalars().all()
    engine.dispose()
    return found


@pytest.mark.parametrize("kind", ["connection", "session", "driver"])
def test_a_job_is_committed_with_the_callers_rows(address, kind):
    """It is invisible before the commit, and after a rollback; all options apply."""
    with boards.backend("b", address) as board, open_connection(address, kind) as own:
        insert(own, "lost")
        board.post("lost", connection=own, key="lost")
        own.rollback()
        insert(own, "kept")
        job = board.post(
            "kept",
            details={"n": 1},
            priority="HIGH",
            connection=own,
            key="once",
            required_capabilities=["gpu"],
        )
        again = board.post("again", connection=own, key="once")
        later = board.post("later", connection=own, not_before=time.time() + 3600)
        assert again.uuid == job.uuid
        with boards.backend("b", address) as other:
            assert list(other.iterjobs()) == []
            with pytest.raises(exc.NotFound):
                other.get_snapshot(job.uuid)
            own.commit()
            assert [each.name for each in other.iterjobs()] == ["kept", "later"]
            assert [each.uuid for each in other.iterjobs(only_unclaimed=True, capabilities=["gpu"])] == [
                job.uuid
            ]
            assert other.post("x", key="once").uuid == job.uuid
            assert other.post("y", key="lost").name == "y"
        assert job.details == {"n": 1}
        assert later.state == "UNCLAIMED"
    assert rows(address) == ["kept"]


def test_conductors_are_notified_when_the_caller_commits(address):
    with boards.backend("b", address) as board, boards.backend("b", address) as other:
        jobs = []
        waiter = threading.Thread(target=lambda: jobs.extend(other.wait(LONG)))
        notified = threading.Event()
        other.notifier.register("POSTED", lambda _, details: notified.set() if details else None)
        waiter.start()
        with open_connection(address, "connection") as own:
            board.post("job", connection=own)
            assert not notified.wait(0.3)
            assert jobs == []
            own.commit()
        waiter.join(LONG)
        assert [job.name for job in jobs] == ["job"]
        assert notified.wait(LONG)


def test_a_caller_that_is_killed_before_its_commit(address):
    """It leaves no row, no job and no lock."""
    if address.startswith("sqlite"):
        address += "?timeout=10"

    with boards.backend("b", address) as board:

        def post_and_die():
            with boards.backend("b", address) as mine:
                own = raw_of(address.partition("?")[0])
                insert(own, "dead")
                mine.post("dead", connection=own)
                os.kill(os.getpid(), signal.SIGKILL)

        assert wait_child(start_child(post_and_die)) == -signal.SIGKILL
        assert list(board.iterjobs()) == []
        board.post("alive")
        assert [job.name for job in board.iterjobs()] == ["alive"]
    assert rows(address.partition("?")[0]) == []


def test_an_open_transaction_blocks_no_other_owner(postgresql_url):
    """On PostgreSQL others claim, end and post jobs meanwhile."""
    name = f"b{uuid.uuid4().hex}"
    with boards.backend(name, postgresql_url) as board, open_connection(postgresql_url, "connection") as own:
        board.post("uncommitted", connection=own)
        for number in range(3):
            board.post(f"job {number}")
        done = []
        while claimed := board.complete_and_claim("me", limit=2).jobs:
            for job in claimed:
                board.consume(job, "me")
            done += [job.name for job in claimed]
        assert done == ["job 0", "job 1", "job 2"]
        own.commit()
        assert [job.name for job in board.complete_and_claim("me", limit=2).jobs] == ["uncommitted"]


def test_two_posts_under_one_key(postgresql_url):
    """The second waits for the first, and returns its job."""
    name = f"b{uuid.uuid4().hex}"
    with (
        boards.backend(name, postgresql_url) as board,
        open_connection(postgresql_url, "connection") as first,
        open_connection(postgresql_url, "connection") as second,
    ):
        job = board.post("first", connection=first, key="k")
        got = []
        waiter = threading.Thread(target=lambda: got.append(board.post("second", connection=second, key="k")))
        waiter.start()
        waiter.join(0.3)
        assert got == []
        first.commit()
        waiter.join(LONG)
        assert got[0].uuid == job.uuid
        second.commit()
        assert board.job_count == 1


def fails(board, connection, *texts, error=exc.InvalidFormat):
    with pytest.raises(error) as caught:
        board.post("x", connection=connection)
    for text in texts:
        assert text in str(caught.value)
    assert WRONG not in str(caught.value)


def test_unusable_connections(address, tmp_path):
    with boards.backend("b", address) as board:
        fails(board, "no connection", address, "SQLAlchemy connection or session")
        closed = raw_of(address)
        closed.close()
        fails(board, closed, "is closed", "pass an open one")
        engine = engine_of(address)
        with engine.connect() as left:
            pass
        fails(board, left, "is closed")
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as alone:
            fails(board, alone, "has no transaction", "begin a transaction")
        engine.dispose()
        elsewhere = sa.create_engine(f"sqlite:///{tmp_path}/other.db")
        with elsewhere.connect() as other:
            error = "does not lead to" if address.startswith("sqlite") else "is not a connection to"
            fails(board, other, error, "to that database")
        elsewhere.dispose()
        assert list(board.iterjobs()) == []


def test_connections_to_another_database_of_the_same_server(postgresql_url, mysql_url):
    for url, database in ((postgresql_url, "postgres"), (mysql_url, "mysql")):
        with boards.backend("b", url) as board:
            engine = engine_of(sa.make_url(url).set(database=database).render_as_string(hide_password=False))
            with engine.connect() as other:
                fails(board, other, "to another database", url)
            engine.dispose()


def test_boards_that_are_not_in_sql(tmp_path, redis_url):
    raw = sqlite3.connect(":memory:")
    for address in (f"dir://{tmp_path}/b", "memory://b", redis_url.replace("://", f"://:{WRONG}@")):
        board = boards.fetch("b", address)
        fails(board, raw, "SQL database", "after your own commit", error=exc.NotSupported)
    with boards.backend("b", "sqlite://") as board:
        fails(board, raw, "another database")
    raw.close()


def add(x, y):
    return x + y


def factory():
    """A flow that every process can make."""
    return linear_flow.Flow("adding").add(FunctorTask(add, provides="sum"))


FACTORY = "tests.jobboards.test_caller_transactions.factory"


def test_a_flow_is_committed_with_the_callers_rows(address):
    """With a connection to the database of the flows, the flow is committed together with the job."""
    with (
        stores.backend(address) as store,
        boards.backend("b", address, persistence=store) as board,
        open_connection(address, "session") as own,
    ):
        insert(own, "lost")
        post_flow(board, store, FACTORY, store={"x": 1, "y": 2}, connection=own)
        own.rollback()
        insert(own, "kept")
        job = post_flow(board, store, FACTORY, store={"x": 1, "y": 2}, connection=own, key="k")
        twice = post_flow(board, store, FACTORY, store={"x": 1, "y": 2}, connection=own, key="k")
        with store.get_connection() as books:
            assert books.get_logbooks() == []
            own.commit()
            assert twice.uuid == job.uuid
            assert [book.uuid for book in books.get_logbooks()] == [job.book_uuid]
        assert board.job_count == 1
        Conductor("c", board, store).run(max_dispatches=1)
        assert job.result(LONG) == {"x": 1, "y": 2, "sum": 3}
    assert rows(address) == ["kept"]


def test_a_flow_in_another_database_is_durable_before_the_job(address, tmp_path):
    with (
        stores.backend(f"sqlite:///{tmp_path}/flows.db") as store,
        boards.backend("b", address, persistence=store) as board,
        open_connection(address, "driver") as own,
    ):
        job = post_flow(board, store, FACTORY, store={"x": 1, "y": 2}, connection=own)
        with store.get_connection() as books:
            assert [book.uuid for book in books.get_logbooks()] == [job.book_uuid]
        assert board.job_count == 0
        own.commit()
        assert board.job_count == 1
