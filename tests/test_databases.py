"""What errors of databases mean, and how transactions are retried."""

import sqlite3

import psycopg
import pymysql
import pytest
import sqlalchemy as sa

from stackl_flow import databases, urls
from stackl_flow import exceptions as exc
from stackl_flow.databases import ErrorKind, Retrying, RetryPolicy


def open_database(url, **options):
    return databases.open_database(urls.parse(url), **options)


def sqlite_error(code, message="failed"):
    error = sqlite3.OperationalError(message)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("url", "error", "kind", "text"),
    [
        ("sqlite://", sqlite_error(sqlite3.SQLITE_BUSY), ErrorKind.LOCKED, "timeout="),
        ("sqlite://", sqlite_error(sqlite3.SQLITE_IOERR_FSYNC), ErrorKind.DISK, "check the disk"),
        ("sqlite://", sqlite_error(sqlite3.SQLITE_CORRUPT), ErrorKind.PERMANENT, "is damaged"),
        ("sqlite://", sqlite_error(1, "no such table: x"), ErrorKind.NO_TABLE, "no such table"),
        ("postgresql://h/db", psycopg.errors.DeadlockDetected(), ErrorKind.CONFLICT, "rolled back"),
        ("postgresql://h/db", psycopg.errors.UniqueViolation(), ErrorKind.DUPLICATE, "already"),
        ("postgresql://h/db", psycopg.errors.AdminShutdown(), ErrorKind.DISCONNECTED, "cannot be reached"),
        ("postgresql://h/db", psycopg.errors.TooManyConnections(), ErrorKind.UNAVAILABLE, "too many"),
        (
            "postgresql://h/db",
            psycopg.OperationalError("refused"),
            ErrorKind.DISCONNECTED,
            "cannot be reached",
        ),
        ("postgresql://h/db", psycopg.OperationalError("starting up"), ErrorKind.UNAVAILABLE, "not ready"),
        ("postgresql://h/db", psycopg.errors.SyntaxError(), ErrorKind.PERMANENT, "failed"),
        ("mysql://h/db", pymysql.err.OperationalError(1213, "x"), ErrorKind.CONFLICT, "rolled back"),
        ("mysql://h/db", pymysql.err.OperationalError(1205, "x"), ErrorKind.LOCKED, "SHOW PROCESSLIST"),
        ("mysql://h/db", pymysql.err.OperationalError(2003, "refused"), ErrorKind.DISCONNECTED, "reached"),
        ("mysql://h/db", pymysql.err.OperationalError(2003, "SSL"), ErrorKind.PERMANENT, "TLS"),
        ("mysql://h/db", pymysql.err.InterfaceError(0, ""), ErrorKind.DISCONNECTED, "cannot be reached"),
        ("mysql://h/db", pymysql.err.IntegrityError(1062, "x"), ErrorKind.DUPLICATE, "already"),
    ],
)
def test_errors(url, error, kind, text):
    database = open_database(url)
    assert database.explain(error).kind is kind
    translated = database.translate(error)
    assert text in translated.args[0]
    assert translated.cause is error


def test_options():
    database = open_database("postgresql://user:hidden@h/db?timeout=2.5&sslmode=require&more=1", more=int)
    assert (database.timeout, database.options["more"]) == (2, 1)
    assert database.connect_args()["sslmode"] == "require"
    assert "more" not in database.connect_args()
    assert "hidden" not in database.name
    with pytest.raises(exc.InvalidFormat, match="unknown option 'more'"):
        open_database("postgresql://h/db?more=1")


def test_a_malformed_url_does_not_show_its_password():
    with pytest.raises(exc.InvalidFormat) as caught:
        open_database("postgresql://user:hidden@h:port/db")
    assert "hidden" not in caught.value.pformat()


@pytest.fixture
def delays():
    return []


def retrying(delays, **options):
    policy = RetryPolicy(frozenset({ErrorKind.LOCKED, ErrorKind.DISCONNECTED}), 4, 1.0, factor=3.0, **options)
    return Retrying(open_database("postgresql://h/db"), policy, delays.append)


class Transaction:
    """Fails with each of some errors, then returns "done"."""

    def __init__(self, *errors):
        self.errors = list(errors)

    def __call__(self):
        if self.errors:
            raise exc.StorageFailure("failed", cause=self.errors.pop(0))
        return "done"


LOST = psycopg.OperationalError("refused")


def test_transactions_are_retried_with_growing_delays(delays):
    run = retrying(delays, first_connection=True, max_delay=5.0)
    assert run(Transaction(LOST, LOST, LOST)) == "done"
    assert delays == [1.0, 3.0, 5.0]


def test_delays_are_random(delays):
    retrying(delays, first_connection=True, jitter=True)(Transaction(LOST, LOST))
    assert 0.5 <= delays[0] <= 1.0
    assert 1.5 <= delays[1] <= 3.0


def test_the_last_error_is_raised(delays):
    last = psycopg.OperationalError("the last")
    with pytest.raises(exc.StorageFailure) as caught:
        retrying(delays, first_connection=True)(Transaction(LOST, LOST, LOST, last))
    assert caught.value.cause is last
    assert len(delays) == 3


@pytest.mark.parametrize("error", [psycopg.errors.DeadlockDetected(), LOST])
def test_other_errors_are_not_retried(delays, error):
    """Of another kind, or on a server to which no connection was ever made."""
    with pytest.raises(exc.StorageFailure):
        retrying(delays)(Transaction(error))
    assert delays == []


def test_what_is_too_large_for_sqlite(tmp_path):
    database = open_database(f"sqlite:///{tmp_path}/x.db")
    engine = database.create_engine()
    with engine.connect() as connection:
        assert database.max_value is not None
        assert 800_000_000 < database.max_value < 1_000_000_000
        raw = connection.connection.driver_connection
        raw.execute("CREATE TABLE t (x TEXT)")
        raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 100_000)
        with pytest.raises(sqlite3.Error) as caught:
            raw.execute("INSERT INTO t VALUES (?)", ("x" * 200_000,))
    engine.dispose()
    error = database.translate(caught.value)
    assert isinstance(error, exc.ValueTooLarge)
    assert error.limit == database.max_value
    database.max_value = 10
    with pytest.raises(exc.ValueTooLarge, match="the value has"):
        database.check_size("the value", "x" * 11)


def test_what_is_too_large_for_postgresql(postgresql_url):
    database = open_database(postgresql_url)
    engine = database.create_engine()
    with engine.connect() as connection, pytest.raises(sa.exc.DBAPIError) as caught:
        connection.exec_driver_sql("SELECT length(repeat('x', 1073741824))")
    engine.dispose()
    assert isinstance(database.translate(caught.value), exc.ValueTooLarge)
