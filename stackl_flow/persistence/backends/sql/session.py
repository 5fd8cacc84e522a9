"""Connections of the driver, pooled and checked once, and transactions on them.

Opening a database costs more than most transactions, and the last connection that closes a SQLite file also
removes its WAL, which the next one has to create again. So idle connections stay in SQLAlchemy's pool. Those
of before a fork, and those to a file that has been replaced, are not used again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.databases import Database, ErrorKind
from stackl_flow.persistence.backends.sql import tables

# What a forked process inherited: it must neither use nor close its parent's connections, so it keeps them.
_INHERITED: Final[list[object]] = []
#: Keys in the info of a pooled connection: which database it leads to, and whether its schema was checked.
_IDENTITY: Final = "stackl_flow_identity"
_UP_TO_DATE: Final = "stackl_flow_up_to_date"


class ConnectionPool:
    """Hands out connections of the driver that can still be used.

    Args:
        engine: has the pool.
        database: the engine's database.
    """

    def __init__(self, engine: sa.Engine, database: Database) -> None:
        self._engine = engine
        self._database = database
        self._pid = os.getpid()

    def acquire(self) -> Any:
        """Return SQLAlchemy's proxy of a connection; its ``close()`` returns the connection to the pool."""
        if self._pid != os.getpid() and not self._database.survives_fork:
            _INHERITED.append(self._engine.pool)
            self._engine.dispose(close=False)
        self._pid = os.getpid()
        while True:
            pooled = self._engine.raw_connection()
            identity = self._database.identity()
            if pooled.info.setdefault(_IDENTITY, identity) == identity:
                return pooled
            pooled.invalidate()
            pooled.close()

    def leads_to_same_database(self, pooled: Any) -> bool:
        """Return whether a connection still leads to the database at its URL."""
        return bool(pooled.info.get(_IDENTITY) == self._database.identity())

    def close_idle(self) -> None:
        """Close the connections in the pool: one was lost, so they may be lost as well."""
        self._engine.dispose()


class Session:
    """A connection of the driver and its cursor. One thread uses it at a time.

    Args:
        pool: the pool of connections.
        database: the database.
        driver_error: the base class of the driver's errors.

    Attributes:
        cursor: the driver's cursor; None while no connection is open.
        outcome_unknown: whether a commit failed since this was last reset, so that it may have been applied.
        reading: a context manager that holds a transaction which reads one snapshot.
        writing: the same for a transaction that writes.
        unbegun: the same, without the statement that begins it: the block sends that one along with others.
    """

    def __init__(self, pool: ConnectionPool, database: Database, driver_error: type[Exception]) -> None:
        self._pool = pool
        self._database = database
        self._driver_error = driver_error
        self._pooled: Any = None
        self._raw: Any = None
        self._pid = 0
        self._up_to_date = False
        self.cursor: Any = None
        self.outcome_unknown = False
        self.reading = Transaction(self, database, database.begin_read)
        self.writing = Transaction(self, database, database.begin_write)
        self.unbegun = Transaction(self, database, ())

    @property
    def raw(self) -> Any:
        """The driver's connection."""
        return self._raw

    # ------------------------------------------------------------------ opening and closing

    def ensure_open(self) -> None:
        """Open the database and check the version of its schema, unless that is done.

        Raises:
            StorageFailure: it cannot be opened, or has to be upgraded.
            IncompatibleVersion: it is newer than this code.
        """
        if self._up_to_date and self._pid == os.getpid():
            return  # nearly always, and checked for each checkpoint
        if not self.is_up_to_date(create=False):
            raise tables.not_upgraded_error(self._database.name)

    def is_up_to_date(self, *, create: bool) -> bool:
        """Open the database, and return whether its schema has the version of this code.

        Args:
            create: whether a missing file is to be created.

        Raises:
            IncompatibleVersion: it is newer than this code.
        """
        if self._up_to_date and self._pid == os.getpid():
            return True
        self._open(create=create)
        if not self._up_to_date:
            self._up_to_date = tables.is_current(self._database.name, self._read_version())
            self._pooled.info[_UP_TO_DATE] = self._up_to_date
        return self._up_to_date

    def _open(self, *, create: bool) -> None:
        usable = self._pid == os.getpid() or self._database.survives_fork
        if self._raw is not None and usable:
            return
        if self._raw is not None:
            _INHERITED.append((self._pooled, self._raw, self.cursor))
        self._database.check_path(create=create)
        with self._database.lock():
            self._pooled = self._pool.acquire()
            self._raw = self._pooled.driver_connection
            self.cursor = self._raw.cursor()
        self._pid = os.getpid()
        # On a server, once for each of its connections, not each time that one is borrowed.
        self._up_to_date = self._database.is_server and self._pooled.info.get(_UP_TO_DATE, False)

    def _read_version(self) -> str | None:
        with self._database.lock():
            try:
                rows = self.query(tables.SELECT_VERSION)
            except self._driver_error as error:
                self._raw.rollback()
                if self._database.explain(error).kind is ErrorKind.NO_TABLE:
                    return None
                raise
        return rows[0][0] if rows else None

    def check_identity(self) -> None:
        """Check that the database is still the one that was opened.

        Raises:
            StorageFailure: it was deleted or replaced, so what is written is lost.
        """
        if not self._pool.leads_to_same_database(self._pooled):
            raise exc.StorageFailure(
                f"database '{self._database.name}' was deleted or replaced while it was in use: what was"
                f" written since is lost; restore it and run the flow again"
            )

    def close(self, *, lost: bool = False) -> None:
        """Return the driver's connection to the pool; the next use acquires another.

        Args:
            lost: whether the connection is unusable.
        """
        pooled, self._pooled = self._pooled, None
        inherited = self._pid != os.getpid() and not self._database.survives_fork
        raw, self._raw, self.cursor, self._up_to_date = self._raw, None, None, False
        if pooled is None:
            return
        if inherited:
            _INHERITED.append((pooled, raw))
            return
        with self._database.lock():
            if lost:
                pooled.invalidate()
                self._pool.close_idle()
            pooled.close()

    # ------------------------------------------------------------------ statements

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Run a query and return its rows."""
        self.cursor.execute(sql, values)
        return list(self.cursor.fetchall())

    def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> int:
        """Run a statement once for each row of values, and return how many rows of the table it changed."""
        if not rows:
            return 0
        if len(rows) == 1:
            self.cursor.execute(sql, rows[0])  # faster than executemany
        else:
            self.cursor.executemany(sql, rows)
        return int(self.cursor.rowcount)

    def commit(self) -> None:
        """Commit what was written."""
        self._raw.commit()

    def rollback(self) -> None:
        """Roll back what was written since the transaction began."""
        try:
            self._raw.rollback()
        except self._driver_error:
            # The connection is gone, and the transaction with it.
            self.close(lost=True)

    # ------------------------------------------------------------------ errors

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Turn the driver's errors into errors of this library while the block runs."""
        try:
            yield
        except (self._driver_error, sa.exc.SQLAlchemyError) as error:
            raise self.translate(error) from error

    def translate(self, error: BaseException) -> exc.StacklFlowError:
        """Return the error to raise for one of the driver or SQLAlchemy."""
        origin = getattr(error, "orig", None) or error
        kind = self._database.explain(origin).kind
        if kind is ErrorKind.DUPLICATE:
            return exc.Duplicate(
                f"database '{self._database.display_name}' has a row with that uuid already: {origin}",
                cause=origin,
            )
        if kind is ErrorKind.NO_TABLE:
            return tables.not_upgraded_error(self._database.name)
        return self._database.translate(origin)

    def is_driver_error(self, error: BaseException) -> bool:
        """Return whether an error is one of the driver or SQLAlchemy."""
        return isinstance(error, (self._driver_error, sa.exc.SQLAlchemyError))


class Transaction:
    """A context manager: begins, commits or rolls back. A class, because a generator costs a checkpoint more.

    Args:
        session: the connection.
        database: its database.
        begin: the statements that begin the transaction.
    """

    def __init__(self, session: Session, database: Database, begin: Sequence[str]) -> None:
        self._session = session
        self._begin = begin
        self._lock = database.lock()

    def __enter__(self) -> Self:
        session = self._session
        self._lock.__enter__()
        try:
            session.ensure_open()
            for statement in self._begin:
                session.cursor.execute(statement)
        except BaseException as error:
            # An interrupt may arrive when the transaction has begun.
            if session.cursor is not None:
                session.rollback()
            self._lock.__exit__(None, None, None)
            if session.is_driver_error(error):
                raise session.translate(error) from error
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session = self._session
        try:
            if error is None:
                session.commit()
                return
            session.rollback()
        except BaseException as late:
            session.outcome_unknown = True
            session.rollback()
            if session.is_driver_error(late):
                raise session.translate(late) from late
            raise
        finally:
            self._lock.__exit__(None, None, None)
        if session.is_driver_error(error):
            raise session.translate(error) from error
