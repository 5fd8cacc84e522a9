"""Prepared statements are prepared again: psycopg deallocates all of a connection after a rollback."""

import psycopg
import pytest

from stackl_flow.persistence.backends.sql.postgresql_checkpoint import PreparedStatements

FIRST, SECOND = "INSERT INTO kept VALUES ('first', $1)", "INSERT INTO kept VALUES ('second', $1)"


@pytest.fixture
def raw(postgresql_url):
    with psycopg.connect(postgresql_url, autocommit=True) as raw:
        raw.execute("CREATE TEMPORARY TABLE kept (by text, value text)")
        yield raw


def stored(raw):
    return raw.execute("SELECT by, value FROM kept ORDER BY value").fetchall()


def deallocate_all(raw):
    """Roll back on a connection on which psycopg has prepared a statement of its own."""
    raw.autocommit = False
    for _ in range(10):
        raw.execute("SELECT 1 + %s", (1,))
    raw.rollback()
    raw.execute("SELECT 2")  # they are deallocated with the next statement
    raw.rollback()
    raw.autocommit = True


def test_all_are_deallocated(raw):
    statements = PreparedStatements()
    for number in range(3):
        statements.execute(raw, FIRST, [f"a{number}"])
        statements.execute(raw, SECOND, [f"b{number}"])
        deallocate_all(raw)
        assert raw.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
        statements.execute(raw, SECOND, [f"c{number}"])
    assert stored(raw) == [
        *(("first", f"a{number}") for number in range(3)),
        *(("second", f"b{number}") for number in range(3)),
        *(("second", f"c{number}") for number in range(3)),
    ]


def test_one_is_deallocated(raw):
    statements = PreparedStatements()
    statements.execute(raw, FIRST, ["a0"])
    statements.execute(raw, SECOND, ["b0"])
    (name,) = raw.execute("SELECT name FROM pg_prepared_statements WHERE statement = %s", (FIRST,)).fetchone()
    raw.execute(f"DEALLOCATE {name}")
    statements.execute(raw, FIRST, ["a1"])
    statements.execute(raw, SECOND, ["b1"])
    assert stored(raw) == [("first", "a0"), ("first", "a1"), ("second", "b0"), ("second", "b1")]
