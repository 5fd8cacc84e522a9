"""Connections of the caller, used without beginning or ending a transaction on them.

A caller that writes rows of its own may pass its SQLAlchemy connection or session, or its driver's connection
(sqlite3, psycopg, PyMySQL), so that what the library writes is committed or rolled back with those rows.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from stackl_flow import exceptions as exc
from stackl_flow.databases.base import Database
from stackl_flow.databases.server import ServerDatabase

_REMEDY: Final = "pass a SQLAlchemy connection or session, or the driver's own connection, to that database"


def wrap_connection(given: Any, engine: sa.Engine, name: str) -> sa.Connection:
    """Return a SQLAlchemy connection for what a caller passed.

    Args:
        given: a SQLAlchemy connection or session, or a connection of the driver.
        engine: an engine for the same kind of database.
        name: what messages call the database.

    Returns:
        The connection. It need not be closed, and never commits or rolls back the driver's connection.

    Raises:
        InvalidFormat: it is none of these, or it is closed.
    """
    driver = engine.dialect.loaded_dbapi
    if isinstance(given, driver.Connection):
        if _is_closed(given, driver.Error):
            raise closed_error(name)
        # The pool holds only the caller's connection, and SQLAlchemy cannot commit, roll back or close it.
        pool = StaticPool(lambda: _CallersConnection(given), reset_on_return=None)
        return sa.Engine(pool, engine.dialect, engine.url, hide_parameters=True).connect()
    if hasattr(given, "sync_session") or hasattr(given, "sync_connection"):
        raise exc.InvalidFormat(
            f"'{name}' cannot use {type(given).__name__} directly: call it inside run_sync(), with the "
            f"connection or session that run_sync() passes"
        )
    found = _of_session(given, name)
    if not isinstance(found, sa.Connection) or found.dialect.name != engine.dialect.name:
        raise exc.InvalidFormat(f"{_describe(found)} is not a connection to '{name}': {_REMEDY}")
    if found.closed or found.invalidated:
        raise closed_error(name)
    return found


def matching_driver_connection(given: Any, engine: sa.Engine, database: Database) -> Any:
    """Return the driver's connection of what a caller passed, if it is a connection to a database.

    Args:
        given: a SQLAlchemy connection or session, or a connection of the driver.
        engine: an engine of the database.
        database: the database.

    Returns:
        The driver's connection; None if it is another driver's, or to another database.

    Raises:
        InvalidFormat: it is closed.
    """
    driver = engine.dialect.loaded_dbapi.Connection
    if not isinstance(given, driver):
        given = _of_session(given, database.name)
        if not isinstance(given, sa.Connection) or given.dialect.name != engine.dialect.name:
            return None
    connection = wrap_connection(given, engine, database.name)
    raw = driver_connection(connection)
    return raw if isinstance(raw, driver) and is_same_database(connection, engine, database) else None


def is_same_database(theirs: sa.Connection, ours: sa.Engine, database: Database) -> bool:
    """Return whether a caller's connection leads to the database of an engine."""
    if not isinstance(database, ServerDatabase):
        files = theirs.exec_driver_sql("PRAGMA database_list").all()
        file = next(file for _, name, file in files if name == "main")
        return bool(file) and Path(file).samefile(ours.url.database or "")
    query = sa.text(database.IDENTITY)
    with ours.connect() as connection:
        return bool(theirs.execute(query).first() == connection.execute(query).first())


def driver_connection(connection: sa.Connection) -> Any:
    """Return the driver's connection of a SQLAlchemy connection."""
    raw = connection.connection.driver_connection
    return raw._raw if isinstance(raw, _CallersConnection) else raw  # noqa: SLF001  of this module


def plain_cursor(raw: Any) -> Any:
    """Open a cursor whose rows are tuples, whatever row type the caller has set.

    Args:
        raw: a connection of sqlite3, psycopg or PyMySQL.
    """
    driver = type(raw).__module__.partition(".")[0]
    if driver == "psycopg":
        return raw.cursor(row_factory=sys.modules["psycopg.rows"].tuple_row)
    if driver == "pymysql":
        return raw.cursor(sys.modules["pymysql.cursors"].Cursor)
    cursor = raw.cursor()
    if driver == "sqlite3":
        cursor.row_factory = None
    return cursor


class _CallersConnection:
    """A driver's connection that only the caller commits, rolls back and closes."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def cursor(self) -> Any:
        """Open a cursor whose rows are tuples."""
        return plain_cursor(self._raw)

    def commit(self) -> None:
        """Do nothing."""

    rollback = close = commit


def _of_session(given: Any, name: str) -> Any:
    """Return the connection of a session; anything else as it is."""
    try:
        return given.connection() if hasattr(given, "get_bind") else given
    except sa.exc.SQLAlchemyError as error:
        raise exc.InvalidFormat(f"the session passed for '{name}' cannot be used: {error}") from error


def _is_closed(raw: Any, error: type[Exception]) -> bool:
    if getattr(raw, "closed", False) or not getattr(raw, "open", True):
        return True
    try:
        raw.cursor().close()
    except error:
        return True
    return False


def _describe(found: object) -> str:
    if isinstance(found, sa.Connection):
        return f"a connection to '{found.engine.url.render_as_string()}'"
    return f"{type(found).__module__}.{type(found).__qualname__}"


def closed_error(name: str) -> exc.InvalidFormat:
    """Return the error for a connection that is closed."""
    return exc.InvalidFormat(f"the connection passed for '{name}' is closed: pass an open one")


def autocommit_error(name: str) -> exc.InvalidFormat:
    """Return the error for a connection that commits each statement by itself."""
    return exc.InvalidFormat(
        f"the connection passed for '{name}' has no transaction, so each statement is committed by itself: "
        f"begin a transaction, or omit connection="
    )


def other_database_error(name: str) -> exc.InvalidFormat:
    """Return the error for a connection to another database."""
    return exc.InvalidFormat(
        f"the connection passed does not lead to '{name}', but to another database: {_REMEDY}"
    )
