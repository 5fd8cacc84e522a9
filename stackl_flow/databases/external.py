"""Connections of the caller's own, made SQLAlchemy connections that leave his transaction alone.

He may hold a SQLAlchemy connection or session, or a connection of the driver that the place itself uses.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from stackl_flow import exceptions as exc

_REMEDY: Final = "give a SQLAlchemy connection or session, or the driver's own connection, to that database"


def connection_of(given: Any, engine: sa.Engine, name: str) -> sa.Connection:
    """Make a SQLAlchemy connection of what a caller holds, and neither begin nor end anything on it.

    Args:
        given: a SQLAlchemy connection or session, or a connection of the driver's.
        engine: leads to the same kind of database.
        name: what to call the place in messages.

    Returns:
        The connection; it need not be closed.

    Raises:
        InvalidFormat: it is none of these, or it is closed.
    """
    driver = engine.dialect.loaded_dbapi
    if isinstance(given, driver.Connection):
        if _is_closed(given, driver.Error):
            raise closed(name)
        # The pool holds nothing but what was lent, so that nothing is done to it but what we ask for.
        pool = StaticPool(lambda: _Lent(given), reset_on_return=None)
        return sa.Engine(pool, engine.dialect, engine.url, hide_parameters=True).connect()
    if hasattr(given, "sync_session") or hasattr(given, "sync_connection"):
        raise exc.InvalidFormat(
            f"{type(given).__name__} cannot be given for '{name}' as it is: post inside its run_sync(), with "
            f"the connection or session that is handed over there"
        )
    found = _opened(given, name)
    if not isinstance(found, sa.Connection) or found.dialect.name != engine.dialect.name:
        raise exc.InvalidFormat(f"{_shown(found)} does not lead to '{name}': {_REMEDY}")
    if found.closed or found.invalidated:
        raise closed(name)
    return found


def _opened(given: Any, name: str) -> Any:
    """Give the connection of a session; anything else as it is."""
    try:
        return given.connection() if hasattr(given, "get_bind") else given
    except sa.exc.SQLAlchemyError as error:
        raise exc.InvalidFormat(f"the session given for '{name}' cannot be used: {error}") from error


def plain_cursor(raw: Any) -> Any:
    """Make a cursor whose rows are tuples, whatever their owner likes rows to be.

    Args:
        raw: a connection of sqlite3, psycopg or PyMySQL.

    Returns:
        The cursor.
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


_IDENTITIES: Final = {
    "postgresql": (
        "SELECT current_database() || ' ' || current_schema() || ' ' || pg_postmaster_start_time()"
    ),
    "mysql": "SELECT CONCAT_WS(' ', DATABASE(), @@hostname, @@port, @@datadir)",
}


def lead_to_same(theirs: sa.Connection, ours: sa.Engine) -> bool:
    """Say whether a connection leads to the same database as an engine.

    Args:
        theirs: the connection.
        ours: the engine.

    Returns:
        True if so.
    """
    if ours.dialect.name == "sqlite":
        files = theirs.exec_driver_sql("PRAGMA database_list").all()
        file = next(file for _, name, file in files if name == "main")
        return bool(file) and Path(file).samefile(ours.url.database or "")
    asked = sa.text(_IDENTITIES[ours.dialect.name])
    with ours.connect() as connection:
        return bool(theirs.execute(asked).first() == connection.execute(asked).first())


def raw_connection_of(given: Any, engine: sa.Engine, name: str) -> Any:
    """Give the driver's connection below what a caller holds, if it leads to the database of an engine.

    Args:
        given: a SQLAlchemy connection or session, or a connection of the driver's.
        engine: the engine.
        name: what to call the database in messages.

    Returns:
        The driver's connection; None if it is of another driver, or leads elsewhere.

    Raises:
        InvalidFormat: it is closed.
    """
    driver = engine.dialect.loaded_dbapi.Connection
    if not isinstance(given, driver):
        given = _opened(given, name)
        if not isinstance(given, sa.Connection) or given.dialect.name != engine.dialect.name:
            return None
    theirs = connection_of(given, engine, name)
    raw = lent_by(theirs)
    return raw if isinstance(raw, driver) and lead_to_same(theirs, engine) else None


def _is_closed(raw: Any, error: type[Exception]) -> bool:
    if getattr(raw, "closed", False) or not getattr(raw, "open", True):
        return True
    try:
        raw.cursor().close()
    except error:
        return True
    return False


def _shown(found: object) -> str:
    if isinstance(found, sa.Connection):
        return f"a connection to '{found.engine.url.render_as_string()}'"
    return f"{type(found).__module__}.{type(found).__qualname__}"


class _Lent:
    """A connection of the driver's that is ended by nobody but its owner.

    Args:
        raw: the connection.
    """

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def cursor(self) -> Any:
        """Make a cursor whose rows are tuples."""
        return plain_cursor(self._raw)

    def commit(self) -> None:
        """Do nothing."""

    rollback = close = commit


def lent_by(connection: sa.Connection) -> Any:
    """Give the driver's connection below one of SQLAlchemy's.

    Args:
        connection: SQLAlchemy's.

    Returns:
        The driver's.
    """
    raw = connection.connection.driver_connection
    return raw._raw if isinstance(raw, _Lent) else raw  # noqa: SLF001  of this module


def closed(name: str) -> exc.InvalidFormat:
    """Make the error for a connection that is closed.

    Args:
        name: the place.

    Returns:
        The error, to be raised.
    """
    return exc.InvalidFormat(f"the connection given for '{name}' is closed: give one that is open")


def alone(name: str) -> exc.InvalidFormat:
    """Make the error for a connection that commits each statement by itself.

    Args:
        name: the place.

    Returns:
        The error, to be raised.
    """
    return exc.InvalidFormat(
        f"the connection given for '{name}' is in no transaction, so that each statement is committed by "
        f"itself: begin one, or leave connection= out"
    )


def elsewhere(name: str) -> exc.InvalidFormat:
    """Make the error for a connection to another database.

    Args:
        name: the place.

    Returns:
        The error, to be raised.
    """
    return exc.InvalidFormat(
        f"the connection given does not lead to '{name}', but to another database: {_REMEDY}"
    )
