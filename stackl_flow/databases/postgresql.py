"""PostgreSQL, through psycopg.

Options beside ``timeout`` go to libpq: ``sslmode``, ``sslrootcert``, ``sslcert``, ``sslkey``,
``application_name``, ``target_session_attrs`` and ``options``, as in
``postgresql://user@host/db?sslmode=verify-full&options=-csearch_path%3Dflows``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import psycopg
import sqlalchemy as sa

from stackl_flow.databases.base import FAILED, ErrorInfo, ErrorKind
from stackl_flow.databases.server import ServerDatabase

#: The advisory lock that one process at a time holds to change tables.
_SCHEMA_LOCK: Final = 6_712_940_386

#: Bytes of a value: a field and a message have 1 GB at most, and a message has the other columns, too.
_MAX_VALUE: Final = (1 << 30) - (1 << 27)
#: What the server and libpq write for what is larger than 1 GB; the first with the SQLSTATE of a bug.
_TOO_LARGE_TEXTS: Final = ("invalid memory alloc request size", "cannot enlarge string buffer")

_PASSWORD: Final = ErrorInfo(ErrorKind.PERMANENT, "denied access: check user and password")
_NO_DATABASE: Final = ErrorInfo(
    ErrorKind.PERMANENT, "does not exist: check its name, or create it first (CREATE DATABASE)"
)
_NOT_ALLOWED: Final = ErrorInfo(
    ErrorKind.PERMANENT,
    "denied access: allow this user and host in pg_hba.conf, or use ?sslmode=require",
)
_NO_TLS: Final = ErrorInfo(
    ErrorKind.PERMANENT, "has no TLS: enable it on the server, or set another ?sslmode="
)
_CERTIFICATE: Final = ErrorInfo(
    ErrorKind.PERMANENT, "failed in TLS: check the certificates, ?sslrootcert= and ?sslmode="
)
_TOO_MANY: Final = ErrorInfo(
    ErrorKind.UNAVAILABLE, "has too many connections: close some, or raise max_connections"
)
_STARTING: Final = ErrorInfo(ErrorKind.UNAVAILABLE, "is not ready: wait until the server has started")
_UNREACHABLE: Final = ErrorInfo(
    ErrorKind.DISCONNECTED, "cannot be reached: check that the server runs and listens at this host and port"
)
_UNKNOWN_HOST: Final = ErrorInfo(ErrorKind.DISCONNECTED, "cannot be found: check the name of the host")
_CONFLICT: Final = ErrorInfo(ErrorKind.CONFLICT, "rolled back in favour of another transaction: retry")
# By the start of an SQLSTATE; the first match counts. Before a connection exists, 28 and 3D have none.
_ERRORS: Final = {
    "23505": ErrorInfo(ErrorKind.DUPLICATE, "has such a row already"),
    "42P01": ErrorInfo(ErrorKind.NO_TABLE, "has no such table"),
    "28P01": _PASSWORD,
    "28": _NOT_ALLOWED,
    "3D": _NO_DATABASE,
    "3F": ErrorInfo(ErrorKind.PERMANENT, "has no such schema: create it, or set another search_path"),
    "40001": _CONFLICT,
    "40P01": _CONFLICT,
    "53300": _TOO_MANY,
    "53": ErrorInfo(
        ErrorKind.PERMANENT, "is full, or its disk is: free some space; what was stored before is safe"
    ),
    "42501": ErrorInfo(
        ErrorKind.PERMANENT,
        "denied access: grant the user the right to create tables in its schema, and to write them",
    ),
    "25006": ErrorInfo(
        ErrorKind.PERMANENT,
        "is read-only: use the address of the primary server (or ?target_session_attrs=read-write)",
    ),
    "54": ErrorInfo(
        ErrorKind.TOO_LARGE,
        "refused a value as too large: store large values elsewhere, and a reference here",
    ),
    "22001": ErrorInfo(ErrorKind.PERMANENT, "refused a name as too long: names take 255 characters"),
    "55006": ErrorInfo(ErrorKind.UNAVAILABLE, "is in use by another session: try again later"),
    "57P03": _STARTING,
    "57P": _UNREACHABLE,
    "08": _UNREACHABLE,
}
# What the server, libpq or OpenSSL write before a connection is made.
_CONNECT_ERRORS: Final = {
    "authentication failed": _PASSWORD,
    "no password supplied": _PASSWORD,
    "no pg_hba.conf entry": _NOT_ALLOWED,
    "does not support SSL": _NO_TLS,
    "certificate": _CERTIFICATE,
    "too many clients": _TOO_MANY,
    "too many connections": _TOO_MANY,
    "starting up": _STARTING,
    "shutting down": _STARTING,
    "could not translate host": _UNKNOWN_HOST,
    "failed to resolve host": _UNKNOWN_HOST,
    "does not exist": _NO_DATABASE,
}


class PostgreSQL(ServerDatabase):
    """A database of a PostgreSQL server."""

    DRIVER = "postgresql+psycopg"
    DRIVER_OPTIONS = {  # noqa: RUF012  constant
        "sslmode": str,
        "sslrootcert": str,
        "sslcert": str,
        "sslkey": str,
        "application_name": str,
        "target_session_attrs": str,
        "options": str,
    }
    SERVER_TIME = "SELECT extract(epoch FROM clock_timestamp())"
    IDENTITY = "SELECT current_database() || ' ' || current_schema() || ' ' || pg_postmaster_start_time()"
    begin_read = ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",)
    begin_write = ("BEGIN ISOLATION LEVEL READ COMMITTED",)

    def connect_args(self) -> dict[str, Any]:
        """Return the arguments for psycopg."""
        return {**super().connect_args(), "client_encoding": "utf-8"}

    def create_engine(self, **options: Any) -> sa.Engine:
        """Create a SQLAlchemy engine; its new connections do not query for the type hstore."""
        return super().create_engine(use_native_hstore=False, **options)

    def set_up(self, raw: Any) -> None:
        """Make a new connection commit each statement by itself."""
        raw.autocommit = True
        self.max_value = _MAX_VALUE

    @contextmanager
    def schema_change(self, connection: sa.Connection) -> Iterator[None]:
        """Hold a transaction that creates or changes tables; only one process at a time is in it."""
        with super().schema_change(connection):
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})")
            yield

    def pipeline(self, raw: Any) -> AbstractContextManager[Any]:
        """Send the statements of a block together (libpq's pipeline mode), and wait for them at its end."""
        pipeline: AbstractContextManager[Any] = raw.pipeline()
        return pipeline

    def bulk_insert(self, cursor: Any, insert: str, table: sa.Table, rows: Sequence[Sequence[Any]]) -> None:  # noqa: ARG002  others need it
        """Insert many rows, by COPY."""
        names = ", ".join(column.name for column in table.columns if column.name != "id")
        with cursor.copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def has_open_transaction(self, raw: Any) -> bool:
        """Return whether what was just written on a connection waits for a commit."""
        info = getattr(raw, "info", None)
        return info is None or bool(getattr(info, "transaction_status", 1))

    def explain(self, error: BaseException | None) -> ErrorInfo:
        """Return the kind of an error of psycopg, and what to do about it."""
        state = getattr(error, "sqlstate", None) or ""
        if state[:2] in ("XX", "") and any(part in str(error) for part in _TOO_LARGE_TEXTS):
            return _ERRORS["54"]
        if state:
            return next((info for start, info in _ERRORS.items() if state.startswith(start)), FAILED)
        if not isinstance(error, psycopg.OperationalError):
            return FAILED
        text = " ".join(str(error).split())
        return next((info for part, info in _CONNECT_ERRORS.items() if part in text), _UNREACHABLE)
