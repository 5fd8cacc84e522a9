"""PostgreSQL's own ways, through psycopg: the one file where its own SQL may stand.

Options beside those of every server go to libpq: ``sslmode``, ``sslrootcert``, ``sslcert``, ``sslkey``,
``application_name``, ``target_session_attrs`` and ``options``, as in
``postgresql://user@host/db?sslmode=verify-full&options=-csearch_path%3Dflows``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg import dialect

from stackl_flow import exceptions as exc
from stackl_flow.persistence.backends.sql.postgresql_checkpoint import Direct, Guarded
from stackl_flow.persistence.backends.sql.server import ServerDialect
from stackl_flow.persistence.records import Checkpoint
from stackl_flow.urls import BackendURL

#: A number of our own, so that one process at a time changes the tables.
_MIGRATING: Final = 6_712_940_386

_PASSWORD: Final = "refused us: check user and password"  # noqa: S105  words about one
_MISSING: Final = "does not exist: check its name, or create it first (CREATE DATABASE)"
_FULL: Final = "has too many connections: close some, or raise max_connections"
_RESTART: Final = "is not ready: wait until the server has started"
_LOST: Final = "cannot be reached: see that the server runs and listens at this host and port"
_UNDONE: Final = "undid the write in favour of another's: do it again"
# What an SQLSTATE begins with. The Class 28 and 3D come without one before there is a connection.
_REMEDIES: Final = {
    "28": _PASSWORD,
    "3D": _MISSING,
    "3F": "has no such schema: create it, or give another search_path",
    "40": _UNDONE,
    "53300": _FULL,
    "53": "is full, or its disk is: free some space; what was stored before is safe",
    "42501": "may not be used: give the user the right to make tables in its schema, and to write them",
    "25006": "is read-only: give the address of the primary server (or ?target_session_attrs=read-write)",
    "22001": "refused a name as too long: names take 255 characters",
    "57P03": _RESTART,
    "57": _LOST,
    "08": _LOST,
}
# What the server, libpq or OpenSSL say before there is a connection.
_AT_THE_DOOR: Final = {
    "authentication failed": _PASSWORD,
    "no password supplied": _PASSWORD,
    "no pg_hba.conf entry": "refused us: let this user in from here (pg_hba.conf), or use ?sslmode=require",
    "does not support SSL": "has no TLS: switch it on at the server, or give another ?sslmode=",
    "certificate": "failed in TLS: check the certificates, ?sslrootcert= and ?sslmode=",
    "too many clients": _FULL,
    "too many connections": _FULL,
    "starting up": _RESTART,
    "shutting down": _RESTART,
    "does not exist": _MISSING,
}
_MAY_PASS: Final = ("40001", "40P01", "53300", "57P01", "57P02", "57P03", "08")


class PostgreSQLDialect(ServerDialect):
    """A database of a PostgreSQL server.

    Args:
        place: its address and options.
    """

    driver = "postgresql+psycopg"
    begin_read = ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",)
    begin_write = ("BEGIN ISOLATION LEVEL READ COMMITTED",)

    def __init__(self, place: BackendURL) -> None:
        super().__init__(
            place,
            sslmode=str, sslrootcert=str, sslcert=str, sslkey=str,
            application_name=str, target_session_attrs=str, options=str,
        )  # fmt: skip
        self._guarded = Guarded(dialect(paramstyle="format"))  # type: ignore[no-untyped-call]
        self._direct = Direct()
        self._connect["client_encoding"] = "utf-8"

    def engine_options(self) -> dict[str, Any]:
        """Spare each new connection a question about a type that we do not use.

        Returns:
            Arguments for the SQLAlchemy engine.
        """
        return {"use_native_hstore": False}

    def set_up(self, raw: Any) -> None:
        """Make a new connection commit each statement by itself, unless a transaction was begun.

        Args:
            raw: psycopg's connection.
        """
        raw.autocommit = True

    @contextmanager
    def migrating(self, connection: sa.Connection) -> Iterator[None]:
        """Keep other processes from changing the tables, until the transaction ends.

        Args:
            connection: the connection, in a transaction.

        Yields:
            Nothing.
        """
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATING})")
        yield

    def together(self, raw: Any) -> AbstractContextManager[Any]:
        """Send what a block executes at once (libpq's pipeline mode), and wait for the answers at its end.

        Args:
            raw: psycopg's connection.

        Returns:
            The block.
        """
        pipeline: AbstractContextManager[Any] = raw.pipeline()
        return pipeline

    def at_once(self, cursor: Any, cp: Checkpoint, last: int, at: float) -> bool:
        """Land a checkpoint by one statement, if it is a small one.

        Args:
            cursor: psycopg's cursor, outside any transaction.
            cp: the checkpoint.
            last: the number of the flow's last move.
            at: the time, in seconds since 1970.

        Returns:
            True if it landed; False if nothing of it did.
        """
        if not self._guarded.fits(cp):
            return False
        try:
            self._direct.run(cursor.connection, *self._guarded.statement(cp, last, at))
        except (psycopg.errors.DivisionByZero, psycopg.errors.UniqueViolation):
            return False  # whoever asks row by row finds out why
        return True

    def add(self, cursor: Any, insert: str, table: sa.Table, rows: Sequence[Sequence[Any]]) -> None:  # noqa: ARG002  see there
        """Add many rows to a table, by COPY.

        Args:
            cursor: psycopg's cursor.
            insert: not needed.
            table: the table.
            rows: the values of all columns but the key.
        """
        names = ", ".join(column.name for column in table.columns if column.name != "id")
        with cursor.copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def lacks_table(self, error: BaseException) -> bool:
        """Say whether an error of the driver means that a table does not exist.

        Args:
            error: the driver's error.

        Returns:
            True if so.
        """
        return isinstance(error, psycopg.errors.UndefinedTable)

    def translate(self, error: BaseException) -> exc.StacklFlowError:
        """Make an error of ours of one of PostgreSQL's.

        Args:
            error: the driver's error.

        Returns:
            An error that names the database and what to do.
        """
        if isinstance(error, psycopg.errors.UniqueViolation):
            return exc.Duplicate(
                f"database '{self.name}' holds a row with that uuid already: {error}", cause=error
            )
        if self.lacks_table(error):
            return self.not_upgraded()
        state = getattr(error, "sqlstate", None) or ""
        text = " ".join(str(error).split())
        if state:
            remedy = next((told for begins, told in _REMEDIES.items() if state.startswith(begins)), "failed")
        elif isinstance(error, psycopg.OperationalError):
            remedy = next((told for words, told in _AT_THE_DOOR.items() if words in text), _LOST)
        else:
            remedy = "failed"
        return exc.StorageFailure(f"database '{self.name}' {remedy} ({text})", cause=error)

    def may_pass(self, error: BaseException | None) -> bool:
        """Say whether something may work when it is done again a little later.

        Args:
            error: the driver's error.

        Returns:
            True for what the server undid, and for a server that was there before and is away.
        """
        state = getattr(error, "sqlstate", None) or ""
        if state or not isinstance(error, psycopg.OperationalError):
            return state.startswith(_MAY_PASS)
        text = str(error)
        told = next((told for words, told in _AT_THE_DOOR.items() if words in text), _LOST)
        return told in {_FULL, _RESTART} or (told == _LOST and self._was_there)
