"""PostgreSQL, through psycopg.

Options beside those of every server go to libpq: ``sslmode``, ``sslrootcert``, ``sslcert``, ``sslkey``,
``application_name``, ``target_session_attrs`` and ``options``, as in
``postgresql://user@host/db?sslmode=verify-full&options=-csearch_path%3Dflows``.

A connection has to be a session of its own: prepared statements, LISTEN and settings belong to it. A pooler
that hands each transaction to another session, such as pgbouncer with ``pool_mode=transaction``, is detected
when a connection is made, and is an error.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, NoReturn

import psycopg
import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.databases.base import FAILED, ErrorInfo, ErrorKind
from stackl_flow.databases.prepared import PreparedStatements
from stackl_flow.databases.server import READ_MARGIN, ServerDatabase
from stackl_flow.urls import BackendURL

#: From so many rows on, COPY may take as long as it needs; the connection must not be silent meanwhile.
_MANY_ROWS: Final = 10_000

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
    ErrorKind.UNAVAILABLE,
    "has too many connections: close some, or raise max_connections or the limit of the role or pooler",
)
_POOLED: Final = ErrorInfo(
    ErrorKind.PERMANENT,
    "is reached through a connection pooler in transaction mode, such as pgbouncer, which loses prepared "
    "statements, LISTEN and settings: use pool_mode=session, or the address of the server itself",
)
_STARTUP_OPTION: Final = ErrorInfo(
    ErrorKind.PERMANENT,
    "is reached through a connection pooler that refuses an option of the URL: add its name to "
    "ignore_startup_parameters of pgbouncer, or use the address of the server itself",
)
_STARTING: Final = ErrorInfo(ErrorKind.UNAVAILABLE, "is not ready: wait until the server has started")
_UNREACHABLE: Final = ErrorInfo(
    ErrorKind.DISCONNECTED, "cannot be reached: check that the server runs and listens at this host and port"
)
_UNKNOWN_HOST: Final = ErrorInfo(ErrorKind.DISCONNECTED, "cannot be found: check the name of the host")
_TERMINATED: Final = ErrorInfo(
    ErrorKind.DISCONNECTED,
    "ended an idle session or a long transaction: raise idle_session_timeout, "
    "idle_in_transaction_session_timeout or transaction_timeout on the server",
)
_LOCKED: Final = ErrorInfo(
    ErrorKind.LOCKED,
    "did not finish a statement in time: find a transaction that stays open in pg_stat_activity, or raise "
    "?statement_timeout=",
)
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
    "55P03": _LOCKED,
    "57014": _LOCKED,
    "26000": _POOLED,
    "42P05": _POOLED,
    "25P03": _TERMINATED,
    "25P04": _TERMINATED,
    "57P05": _TERMINATED,
    "57P04": _NO_DATABASE,
    "57P03": _STARTING,
    "57P": _UNREACHABLE,
    "08": _UNREACHABLE,
}
# What the server, libpq or OpenSSL write before a connection is made.
_CONNECT_ERRORS: Final = {
    "authentication failed": _PASSWORD,
    "no password supplied": _PASSWORD,
    'FATAL: role "': _PASSWORD,
    "no pg_hba.conf entry": _NOT_ALLOWED,
    "does not support SSL": _NO_TLS,
    "certificate": _CERTIFICATE,
    "too many clients": _TOO_MANY,
    "too many connections": _TOO_MANY,
    "connection slots": _TOO_MANY,
    "no more connections allowed": _TOO_MANY,
    "unsupported startup parameter": _STARTUP_OPTION,
    "starting up": _STARTING,
    "shutting down": _STARTING,
    "could not translate host": _UNKNOWN_HOST,
    "failed to resolve host": _UNKNOWN_HOST,
    "does not exist": _NO_DATABASE,
}


#: Sets the limit, unless the server has one of its own, and reads it in seconds.
_SET_UP: Final = (
    "SELECT extract(epoch FROM set_config('statement_timeout', CASE"
    " WHEN %s OR current_setting('statement_timeout') = '0' THEN %s"
    " ELSE current_setting('statement_timeout') END, false)::interval)::float8, pg_backend_pid()"
)
_BACKEND_PID: Final = "SELECT pg_backend_pid()"
#: With this state pgbouncer refuses a transaction in statement mode.
_PROTOCOL_VIOLATION: Final = "08P01"
#: Seconds to wait for a second session of a pooler, and how often the sessions are compared.
_POOLER_TIMEOUT: Final = 2.0
_POOLER_CHECKS: Final = 3


class TimedConnection(psycopg.Connection[Any]):
    """A connection of psycopg that counts as lost when it was silent for too long.

    Attributes:
        read_timeout: the limit in seconds; None for none.
    """

    read_timeout: float | None = None

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """Run a generator of psycopg; one that has a limit of its own is left alone."""
        if args or kwargs or self.read_timeout is None:
            return super().wait(gen, *args, **kwargs)
        return super().wait(self._limited(gen, self.read_timeout))

    def _limited(self, gen: Any, seconds: float) -> Generator[Any, Any, Any]:
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted
                # psycopg sends a false value when nothing arrived for a moment.
                if not ready:
                    until = time.monotonic() + seconds
                    while not ready:
                        if time.monotonic() > until:
                            self.give_up(seconds)
                        ready = yield wanted
                wanted = gen.send(ready)
        except StopIteration as stop:
            return stop.value

    def give_up(self, seconds: float) -> NoReturn:
        """Close the connection, which has not answered for so many seconds.

        Raises:
            OperationalError: always.
        """
        self.pgconn.finish()
        raise psycopg.OperationalError(f"no answer within {seconds:g} seconds, the connection was closed")


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

    _is_direct = False

    def __init__(self, url: BackendURL, **options: type[Any]) -> None:
        super().__init__(url, **options)
        self._prepared = PreparedStatements()

    def connect_args(self) -> dict[str, Any]:
        """Return the arguments for psycopg."""
        keep_alive = self.keep_alive
        return {
            **super().connect_args(),
            "client_encoding": "utf-8",
            "keepalives": 1,
            "keepalives_idle": keep_alive.idle,
            "keepalives_interval": keep_alive.interval,
            "keepalives_count": keep_alive.probes,
            "tcp_user_timeout": max(int(keep_alive.user_timeout * 1000), 1),
        }

    def create_engine(self, **options: Any) -> sa.Engine:
        """Create a SQLAlchemy engine; its new connections do not query for the type hstore."""
        engine = super().create_engine(use_native_hstore=False, **options)
        sa.event.listen(engine, "do_connect", self._connect)
        return engine

    @staticmethod
    def _connect(_dialect: Any, _record: object, args: Any, options: Any) -> TimedConnection:
        return TimedConnection.connect(*args, **options)

    def set_up(self, raw: Any) -> None:
        """Make a new connection commit each statement by itself, and limit how long one may take.

        Raises:
            StorageFailure: there is a pooler in between that keeps no session.
        """
        raw.autocommit = True
        self.max_value = _MAX_VALUE
        raw.read_timeout = self.timeout + READ_MARGIN
        milliseconds = str(int(self.default_statement_timeout * 1000))
        is_given = self.statement_timeout is not None
        limit, pid = raw.execute(_SET_UP, (is_given, milliseconds)).fetchone()
        raw.read_timeout = self.read_timeout(limit)
        if pid != raw.info.backend_pid and not self._is_direct:
            # A pooler has process ids of its own.
            if self._shares_session(raw, pid):
                raw.close()
                raise exc.StorageFailure(f"database '{self.name}' {_POOLED.remedy}")
            self._is_direct = True

    def _shares_session(self, raw: Any, pid: int) -> bool:
        """Return whether another connection gets the same session of the server."""
        seen = {pid}
        try:
            with TimedConnection.connect(
                raw.info.dsn, password=raw.info.password, autocommit=True, connect_timeout=self.timeout
            ) as other:
                other.read_timeout = _POOLER_TIMEOUT
                for _ in range(_POOLER_CHECKS):
                    (theirs,) = other.execute(_BACKEND_PID).fetchone() or (0,)
                    (ours,) = raw.execute(_BACKEND_PID).fetchone()
                    if theirs in seen or ours != pid:
                        return True
        except psycopg.OperationalError:
            pass  # a pooler whose sessions are all in use gives this one its own
        return False

    @contextmanager
    def schema_change(self, connection: sa.Connection) -> Iterator[None]:
        """Hold a transaction that creates or changes tables; only one process at a time is in it."""
        raw: Any = connection.connection.driver_connection
        limit, raw.read_timeout = raw.read_timeout, None
        try:
            with super().schema_change(connection):
                # Building an index, or another process that does, may take long.
                connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})")
                yield
        finally:
            raw.read_timeout = limit

    def pipeline(self, raw: Any) -> AbstractContextManager[Any]:
        """Send the statements of a block together (libpq's pipeline mode), and wait for them at its end."""
        pipeline: AbstractContextManager[Any] = raw.pipeline()
        return pipeline

    def execute_together(
        self, raw: Any, statements: Sequence[tuple[str, Sequence[Any] | None]]
    ) -> Sequence[Sequence[Sequence[str]] | psycopg.Error]:
        """Run statements in one round trip; see `PreparedStatements.execute_together`."""
        return self._prepared.execute_together(raw, statements)

    def pipelined_query(self, raw: Any, statements: Sequence[tuple[str, Sequence[Any]]]) -> Sequence[Any]:
        """Run statements in one round trip, and return the rows of the last one.

        Args:
            raw: psycopg's connection; it may be in a transaction.
            statements: each with libpq's parameters ``$1`` and so on, and its values.
        """
        cursor = psycopg.RawCursor(raw)
        with self.pipeline(raw):
            for text, values in statements[:-1]:
                psycopg.RawCursor(raw).execute(text, values)
            cursor.execute(*statements[-1])
        return cursor.fetchall()

    def bulk_insert(self, cursor: Any, insert: str, table: sa.Table, rows: Sequence[Sequence[Any]]) -> None:  # noqa: ARG002  others need it
        """Insert many rows, by COPY."""
        names = ", ".join(column.name for column in table.columns if column.name != "id")
        if len(rows) >= _MANY_ROWS:
            cursor.execute("SET LOCAL statement_timeout = 0")
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
        if state == _PROTOCOL_VIOLATION and "pooling mode" in str(error):
            return _POOLED
        if state:
            return next((info for start, info in _ERRORS.items() if state.startswith(start)), FAILED)
        if not isinstance(error, psycopg.OperationalError):
            return FAILED
        text = " ".join(str(error).split())
        return next((info for part, info in _CONNECT_ERRORS.items() if part in text), _UNREACHABLE)
