"""The backend for SQL databases, also inside a transaction of the caller."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from stackl_flow import codec as codecs
from stackl_flow import urls
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.codec import TextCodec
from stackl_flow.databases import Database, external, open_database
from stackl_flow.persistence.backends.sql.checkpoint import SingleStatement
from stackl_flow.persistence.backends.sql.connection import SQLConnection, Target
from stackl_flow.persistence.backends.sql.session import Session
from stackl_flow.persistence.base import Backend

#: How many seconds a pooled connection to a server is used; each new one checks the version of the schema.
_RECYCLE: Final = 600


class SQLBackend(Backend):
    """Stores flows in the tables of an SQL database.

    Args:
        conf: a URL, or a mapping with one under "connection" and options beside it. Options are those of the
            database, and ``max_attempts`` (how often a write is tried while the database is locked, full or
            unreachable; 3 for a file, 8 on a server) and ``retry_delay`` (seconds between two attempts, on a
            server at most; 5).
        codec: encodes values as text.
        clock: the source of time.

    Raises:
        InvalidFormat: the URL or one of its options is invalid.
        NotFound: the driver is not installed.
    """

    def __init__(
        self, conf: Mapping[str, Any] | str, codec: TextCodec = codecs.DEFAULT, clock: Clock = SYSTEM
    ) -> None:
        url = urls.parse(conf)
        super().__init__(url.conf, codec=codec, clock=clock)
        self.database = open_database(url, max_attempts=int, retry_delay=float)
        self.engine = self.database.create_engine(**_engine_options(self.database))
        self._target = Target.of(self.database, self.engine, _single_statement(self.database))
        self._schema_checked = False

    @property
    def name(self) -> str:
        """The URL, without password and options."""
        return self.database.name

    def get_connection(self) -> SQLConnection:
        """Return a connection, for one thread at a time; it opens the database when it is first used."""
        return SQLConnection(self, self._target)

    def join_transaction(self, connection: Any) -> Backend:
        """Return a backend that writes in a transaction of the caller, if it is one of this database.

        Args:
            connection: the caller's connection, in a transaction: a SQLAlchemy connection or session, or a
                connection of sqlite3, psycopg or PyMySQL.

        Returns:
            A backend that writes by that connection if it leads to this database; else this backend, whose
            writes are committed at once.

        Raises:
            InvalidFormat: the connection is closed.
        """
        raw = external.matching_driver_connection(connection, self.engine, self.database)
        if raw is None:
            return self
        if not self._schema_checked:
            # By another connection: a query that fails would end the caller's transaction.
            with self.get_connection() as own:
                own.list_flow_records(limit=1)
            self._schema_checked = True
        return _ExternalTransactionBackend(self, self._target, raw)

    def close(self) -> None:
        """Close the pooled connections."""
        self.engine.dispose()


def _engine_options(database: Database) -> Mapping[str, Any]:
    if database.is_server:
        # No round trip before or after a connection is used: what was lost is retried.
        return {"paramstyle": "format", "pool_reset_on_return": None, "pool_recycle": _RECYCLE}
    return {"paramstyle": database.paramstyle}


def _single_statement(database: Database) -> SingleStatement | None:
    if database.url.backend != "postgresql":
        return None
    from stackl_flow.persistence.backends.sql.postgresql_checkpoint import (  # noqa: PLC0415  needs psycopg
        SingleStatementCheckpoint,
    )

    return SingleStatementCheckpoint()


class _ExternalTransactionBackend(Backend):
    """A database, through one connection of the caller."""

    def __init__(self, backend: Backend, target: Target, raw: Any) -> None:
        super().__init__(backend.conf, codec=backend.codec, clock=backend.clock)
        self._name = backend.name
        # The caller begins and ends the transaction, and runs it again if it wants to.
        database = copy.copy(target.database)
        database.is_server = False
        database.begin_read = database.begin_write = ()
        database.end_write = ""
        policy = dataclasses.replace(target.retry_policy, max_attempts=1)
        self._target = target._replace(database=database, retry_policy=policy)
        self._raw = raw

    @property
    def name(self) -> str:
        """The URL, without password and options."""
        return self._name

    def get_connection(self) -> SQLConnection:
        """Return a connection in the caller's transaction."""
        target = self._target
        error = target.engine.dialect.loaded_dbapi.Error
        return SQLConnection(self, target, _ExternalSession(target, error, self._raw))

    def close(self) -> None:
        """Do nothing: the database belongs to another backend."""


class _ExternalSession(Session):
    """A connection of the driver that only the caller begins, commits, rolls back and closes."""

    def __init__(self, target: Target, driver_error: type[Exception], raw: Any) -> None:
        super().__init__(target.pool, target.database, driver_error)
        self._raw = raw
        self.cursor = external.plain_cursor(raw)

    def ensure_open(self) -> None:
        """Do nothing: another connection has checked the schema."""

    def check_identity(self) -> None:
        """Do nothing: the caller's connection is open."""

    def commit(self) -> None:
        """Do nothing."""

    def rollback(self) -> None:
        """Do nothing."""

    def close(self, *, lost: bool = False) -> None:
        """Do nothing."""
