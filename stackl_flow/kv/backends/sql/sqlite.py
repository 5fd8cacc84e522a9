"""SQLite's own ways with a place of items: the one file of this room where its own SQL may stand.

Options of the address: ``timeout`` (seconds to wait for another writer, 30) and ``synchronous`` (FULL: what
was committed outlives a power cut; NORMAL: a killed process).
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool, StaticPool

from stackl_flow import exceptions as exc
from stackl_flow.kv.backends.sql import tables
from stackl_flow.kv.backends.sql.dialect import Dialect, Wakes
from stackl_flow.kv.backends.sql.order import Asked, Order
from stackl_flow.kv.backends.sql.wakeups import Rings
from stackl_flow.kv.wakeup_pipe import WakeupPipe, wake_all
from stackl_flow.urls import BackendURL

_IN_MEMORY: Final = frozenset({"", "/", "/:memory:"})
_SYNCHRONOUS: Final = ("FULL", "NORMAL", "OFF", "EXTRA")
#: A write that changes nothing.
_HOLD: Final = sa.update(tables.state).values(revision=tables.state.c.revision)
_REMEDIES: Final = {
    sqlite3.SQLITE_BUSY: "is locked by another process: wait until it is done, or give a longer ?timeout=",
    sqlite3.SQLITE_READONLY: "is read-only: make the file and its directory writable for this user",
    sqlite3.SQLITE_FULL: "is full, or its disk is: free some space; what was stored before is safe",
    sqlite3.SQLITE_CORRUPT: "is damaged: restore a backup",
    sqlite3.SQLITE_NOTADB: "is not a SQLite database: give the path of another file",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: check that its directory is there and may be used",
}


class _Immediate(Order):
    """Commits one after another, because only one can write; our own say so as they begin."""

    def lock(self, connection: sa.Connection, asked: Asked, *, joined: bool) -> None:  # noqa: ARG002  all of it
        """Keep others from writing until a transaction ends, also one that only reads as it begins.

        Args:
            connection: the connection, in a transaction.
            asked: what is to be looked at, and written.
            joined: whether the transaction is the caller's own.
        """
        if joined:
            connection.execute(_HOLD)


class SQLite(Dialect):
    """A SQLite file, or a database in memory that lives as long as its place.

    Args:
        place: its address and options.
    """

    def __init__(self, place: BackendURL) -> None:
        super().__init__(place)
        self.order = _Immediate()
        self.shared = place.location not in _IN_MEMORY
        # A relative path means the directory that we were in when it was given.
        self._file = Path(place.location.removeprefix("/")).absolute() if self.shared else None
        self._pipes = None if self._file is None else Path(f"{self._file}-waiters")
        self._rings = Rings()
        # In memory all threads share one connection.
        self._lock = threading.RLock()
        options: Mapping[str, Any] = place.read_options(timeout=float, synchronous=str).values
        self._timeout = options.get("timeout", 30.0)
        self._synchronous = options.get("synchronous", "FULL").upper()
        if self._synchronous not in _SYNCHRONOUS:
            raise exc.InvalidFormat(
                f"option 'synchronous' of '{self.name}' must be one of {', '.join(_SYNCHRONOUS)}"
            )

    def create_engine(self) -> sa.Engine:
        """Make the SQLAlchemy engine; nothing is opened yet.

        Returns:
            The engine.
        """
        engine = sa.create_engine(
            sa.URL.create("sqlite", database=":memory:" if self._file is None else os.fspath(self._file)),
            poolclass=QueuePool if self.shared else StaticPool,
            # Transactions are begun below. A connection may be made in one thread and used in another.
            connect_args={"timeout": self._timeout, "isolation_level": None, "check_same_thread": False},
            hide_parameters=True,
        )
        sa.event.listen(engine, "connect", self._set_up)
        return engine

    def _set_up(self, raw: sqlite3.Connection, _: object) -> None:
        for pragma in ("journal_mode=WAL", f"synchronous={self._synchronous}"):
            raw.execute(f"PRAGMA {pragma}").close()

    def alone(self) -> AbstractContextManager[object]:
        """Give what has to be held whenever the database is used: a lock, for one in memory.

        Returns:
            A lock, or something that does nothing.
        """
        return nullcontext() if self.shared else self._lock

    def opening(self, connection: sa.Connection) -> AbstractContextManager[None]:
        """Hold a transaction in which the tables are made.

        Args:
            connection: the connection.

        Returns:
            The context.
        """
        return self.transaction(connection, write=True)

    def opened(self, engine: sa.Engine) -> None:  # noqa: ARG002  others ask the server
        """Make the folder for the pipes of waiters.

        Args:
            engine: the engine.
        """
        if self._pipes is not None:
            self._pipes.mkdir(exist_ok=True)

    def announce(self, connection: sa.Connection) -> None:  # noqa: ARG002  nobody is asked
        """Wake those who wait.

        Args:
            connection: not needed.
        """
        if self._pipes is None:
            self._rings.ring()
        else:
            wake_all(self._pipes)

    def waiting(self) -> AbstractContextManager[Wakes]:
        """Give something to wait at: a pipe beside the file, or a count in memory.

        Returns:
            The context.
        """
        return self._rings.waiting() if self._pipes is None else WakeupPipe(self._pipes)

    @contextmanager
    def transaction(self, connection: sa.Connection, *, write: bool) -> Iterator[None]:
        """Hold a transaction: kept at the end, undone when the block raises.

        Args:
            connection: the connection.
            write: a reader that wants to write later is refused, so a writer says so at once.

        Yields:
            Nothing.
        """
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
        try:
            yield
        except BaseException:
            connection.exec_driver_sql("ROLLBACK")
            raise
        connection.exec_driver_sql("COMMIT")

    def in_transaction(self, raw: Any) -> bool:
        """Say whether what is written on a connection waits for a commit.

        Args:
            raw: the connection of sqlite3; something was written on it.

        Returns:
            True if so; also for a driver that cannot be asked.
        """
        return bool(getattr(raw, "in_transaction", True))

    def translate(self, error: sa.exc.SQLAlchemyError) -> exc.StorageFailure:
        """Make an error of ours of one of SQLite's.

        Args:
            error: SQLAlchemy's error.

        Returns:
            An error that names the file and what to do.
        """
        origin = getattr(error, "orig", None) or error
        remedy = _REMEDIES.get(getattr(origin, "sqlite_errorcode", 0) & 0xFF, "failed")
        return exc.StorageFailure(f"database '{self._file or self.name}' {remedy} ({origin})", cause=origin)
