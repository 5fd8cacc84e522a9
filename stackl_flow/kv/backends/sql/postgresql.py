"""PostgreSQL's own ways with a place of items.

Commits that share no item go side by side (see ``side_by_side``), and a transaction of the caller's own that
is still open keeps nobody else waiting. A commit notifies a channel, on which one thread of each place
listens for all who wait there. Options go to libpq: ``sslmode``, ``sslrootcert``, ``sslcert``, ``sslkey``,
``application_name``, ``target_session_attrs`` and ``options``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import psycopg  # noqa: F401  so that a driver that is missing is told of by its name
import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.kv.backends.sql import tables
from stackl_flow.kv.backends.sql import wakeups as side
from stackl_flow.kv.backends.sql.dialect import Wakes
from stackl_flow.kv.backends.sql.server import ServerDialect
from stackl_flow.kv.backends.sql.wakeups import Listener
from stackl_flow.urls import BackendURL

_CHANNEL: Final = "stackl_flow_kv"
_NOTIFY: Final = sa.text(f"SELECT pg_notify('{_CHANNEL}', '')")
#: A number of our own, so that one process at a time makes the tables.
_MAKING: Final = 6_712_940_385
_PASSWORD: Final = "refused us: check user and password"  # noqa: S105  words about one
_MISSING: Final = "does not exist: create the database first"
_DOOR: Final = "refused us: let this user in from here (pg_hba.conf), or use ?sslmode=require"


_REMEDIES: Final = {
    "28P01": _PASSWORD,
    "28": _DOOR,
    "3D": _MISSING,
    "3F": "has no such schema: create it, or give another search_path",
    "42501": "may not be used: give the user the right to make tables in its schema, and to write them",
    "53": "is full, or has too many connections: free some",
    "25006": "is read-only: give the address of the primary server",
}
# What the server, libpq or OpenSSL say before there is a connection: without a code.
_AT_THE_DOOR: Final = {
    "authentication failed": _PASSWORD,
    "no password supplied": _PASSWORD,
    "no pg_hba.conf entry": _DOOR,
    "does not support SSL": "has no TLS: switch it on at the server, or give another ?sslmode=",
    "certificate": "failed in TLS: check the certificates, ?sslrootcert= and ?sslmode=",
    "could not translate host": "cannot be found: check the name of the host",
    "failed to resolve host": "cannot be found: check the name of the host",
    "does not exist": _MISSING,
}


class PostgreSQL(ServerDialect):
    """A database of a PostgreSQL server.

    Args:
        place: its address and options.
    """

    driver = "postgresql+psycopg"
    format = 2
    most = 2_000
    # What others have locked is passed over.
    take = tables.READ_SOME.with_for_update(of=tables.items, skip_locked=True)
    clock = "SELECT extract(epoch FROM clock_timestamp())"
    # Serialization failures, deadlocks, a shutdown, too many connections.
    undone = frozenset({"40001", "40P01", "57P01", "57P02", "57P03", "55006"})
    remedies = _REMEDIES
    at_the_door = _AT_THE_DOOR

    def __init__(self, place: BackendURL) -> None:
        super().__init__(
            place,
            sslmode=str, sslrootcert=str, sslcert=str, sslkey=str,
            application_name=str, target_session_attrs=str, options=str,
        )  # fmt: skip
        self._listener: Listener | None = None
        self._starting = threading.Lock()
        self.order = side.SideBySide()

    @contextmanager
    def opening(self, connection: sa.Connection) -> Iterator[None]:
        """Hold a transaction in which the tables are made, by one process at a time.

        Args:
            connection: the connection.

        Yields:
            Nothing.
        """
        connection.execution_options(isolation_level="READ COMMITTED")
        with connection.begin():
            connection.execute(sa.text(f"SELECT pg_advisory_xact_lock({_MAKING})"))
            yield

    def renew(self, connection: sa.Connection, found: Any) -> None:
        """Let commits of an older format, which came one after another, go side by side.

        Args:
            connection: the connection, in the transaction in which the tables are made.
            found: the row of ``kv_state``.
        """
        for statement in side.MAKE:
            connection.execute(sa.text(statement), {"revision": found.revision})

    @contextmanager
    def transaction(self, connection: sa.Connection, *, write: bool) -> Iterator[None]:
        """Hold a transaction: kept at the end, undone when the block raises.

        Args:
            connection: the connection.
            write: what it reads is what is there now; else it sees one moment.

        Yields:
            Nothing.
        """
        connection.execution_options(isolation_level="READ COMMITTED" if write else "REPEATABLE READ")
        with connection.begin():
            yield
        connection.execution_options(isolation_level="AUTOCOMMIT")

    def announce(self, connection: sa.Connection) -> None:
        """Notify the channel; in a transaction, the server tells it at the commit.

        Args:
            connection: the connection.
        """
        connection.execute(_NOTIFY)

    def waiting(self) -> AbstractContextManager[Wakes]:
        """Give something to wait at; the thread that listens is started when it is first needed.

        Returns:
            The context.
        """
        with self._starting:
            if self._engine is not None and (self._listener is None or not self._listener.is_alive()):
                self._listener = Listener(self._engine, _CHANNEL)
                self._listener.start()
                self._listener.listening.wait(self.timeout)
            listener = self._listener
        if listener is None:
            raise exc.StorageFailure(f"'{self.name}' is not open")
        return listener.rings.waiting()

    def code(self, error: BaseException) -> str:
        """Give the server's code for an error.

        Args:
            error: the driver's error.

        Returns:
            The SQLSTATE; empty if there is none.
        """
        return getattr(error, "sqlstate", None) or ""

    def in_transaction(self, raw: Any) -> bool:
        """Say whether what is written on a connection waits for a commit.

        Args:
            raw: psycopg's connection; something was written on it.

        Returns:
            True if so; also for a driver that cannot be asked.
        """
        info = getattr(raw, "info", None)
        return info is None or bool(getattr(info, "transaction_status", 1))

    def close(self) -> None:
        """Stop listening."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.stop()
