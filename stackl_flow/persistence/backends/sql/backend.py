"""The backend for databases that SQLAlchemy knows.

Flows stored in a transaction of the caller's own: they land when he commits, or never.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final, cast

from stackl_flow import codec as codecs
from stackl_flow import plugins, urls
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.codec import TextCodec
from stackl_flow.databases import external
from stackl_flow.persistence.backends.sql.connection import SQLConnection
from stackl_flow.persistence.backends.sql.dialect import SQLDialect
from stackl_flow.persistence.backends.sql.session import Link, Source
from stackl_flow.persistence.backends.sql.statements import Statements
from stackl_flow.persistence.base import Backend


class JoinedBackend(Backend):
    """A database, by one connection of the caller's own.

    Args:
        backend: the database.
        parts: what its connections are made of.
        raw: the driver's connection, in a transaction.
    """

    def __init__(self, backend: Backend, parts: tuple[Any, ...], raw: Any) -> None:
        super().__init__(backend.conf, codec=backend.codec, clock=backend.clock)
        self._name = backend.name
        self._parts = parts
        self._raw = raw

    @property
    def name(self) -> str:
        """The address, without any password."""
        return self._name

    def get_connection(self) -> SQLConnection:
        """Make a connection in the caller's transaction.

        Returns:
            The connection.
        """
        engine, source, dialect, statements = self._parts
        alone = _without_retries(dialect)
        link = _LentLink(source, alone, engine.dialect.loaded_dbapi.Error, self._raw)
        return SQLConnection(self, engine, source, alone, statements, link)

    def close(self) -> None:
        """Leave the database open: it is another's."""


def _without_retries(dialect: SQLDialect) -> SQLDialect:
    """Give a database's ways, save that nothing is begun or done again: that is the caller's to do."""
    alone = copy.copy(dialect)
    alone.is_server = False
    alone.save_attempts = 1
    alone.begin_read = alone.begin_write = ()
    return alone


class _LentLink(Link):
    """A connection of the driver's that is begun and ended by nobody but its owner."""

    def __init__(self, source: Source, dialect: SQLDialect, driver_error: type[Exception], raw: Any) -> None:
        super().__init__(source, dialect, driver_error)
        self._raw = raw
        self.cursor = external.plain_cursor(raw)

    def ready(self) -> None:
        """Do nothing: it was looked at by another connection."""

    def commit(self) -> None:
        """Do nothing."""

    def undo(self) -> None:
        """Do nothing."""

    def close(self, *, lost: bool = False) -> None:
        """Do nothing."""


_HERE: Final = "stackl_flow.persistence.backends.sql"
_DIALECTS: Final = {
    "mariadb": f"{_HERE}.mysql:MySQLDialect",
    "mysql": f"{_HERE}.mysql:MySQLDialect",
    "postgresql": f"{_HERE}.postgresql:PostgreSQLDialect",
    "sqlite": f"{_HERE}.sqlite:SQLiteDialect",
}
_GROUP: Final = "stackl_flow.persistence.sql"


class SQLBackend(Backend):
    """Keeps flows in the tables of a database.

    Args:
        conf: "connection" is the address; options stand in it or beside it.
        codec: makes text of values and values of text; the shared one if left out.
        clock: tells when rows were made.

    Raises:
        InvalidFormat: the address or an option makes no sense.
    """

    def __init__(
        self, conf: Mapping[str, Any] | str, codec: TextCodec = codecs.DEFAULT, clock: Clock = SYSTEM
    ) -> None:
        place = urls.parse(conf)
        super().__init__(place.conf, codec=codec, clock=clock)
        # A driver is imported when it is asked for.
        known = place.backend in _DIALECTS
        made = (
            plugins.load_backend(place.backend, place.masked_url, _GROUP, _DIALECTS) if known else SQLDialect
        )
        self.dialect = cast("SQLDialect", made(place))
        self.engine = self.dialect.create_engine()
        self._source = Source(self.engine, self.dialect)
        self.statements = Statements(self.engine.dialect)
        self._parts = (self.engine, self._source, self.dialect, self.statements)
        self._joins = False

    @property
    def name(self) -> str:
        """The address, without any password."""
        return self.dialect.name

    def get_connection(self) -> SQLConnection:
        """Make a connection, to be used by one thread at a time; it opens the database when it is first used.

        Returns:
            The connection; close it after use.
        """
        return SQLConnection(self, *self._parts)

    def join_transaction(self, connection: Any) -> Backend:
        """Give a backend whose writes are part of a transaction of the caller's own, where that can be.

        Args:
            connection: the caller's connection, in a transaction: one of SQLAlchemy's, a session, or one of
                sqlite3, psycopg or PyMySQL.

        Returns:
            A backend that writes by that connection, if it leads to this database; else this one, whose
            writes are durable at once.

        Raises:
            InvalidFormat: the connection is closed.
        """
        theirs = external.raw_connection_of(connection, self.engine, self.name)
        if theirs is None:
            return self
        if not self._joins:
            # Looked at by a connection of our own: a question that fails would end the caller's transaction.
            with self.get_connection() as own:
                own.list_flow_records(limit=1)
            self._joins = True
        return JoinedBackend(self, self._parts, theirs)

    def close(self) -> None:
        """Close the database as far as no connection uses it."""
        self.engine.dispose()
