"""Flows stored in a transaction of the caller's own: they land when he commits, or never."""

from __future__ import annotations

import copy
from typing import Any

from stackl_flow.kv.backends.sql import callers
from stackl_flow.persistence.backends.sql.connection import SQLConnection
from stackl_flow.persistence.backends.sql.dialect import SQLDialect
from stackl_flow.persistence.backends.sql.link import Link
from stackl_flow.persistence.backends.sql.source import Source
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
        self.cursor = callers.plain_cursor(raw)

    def ready(self) -> None:
        """Do nothing: it was looked at by another connection."""

    def commit(self) -> None:
        """Do nothing."""

    def undo(self) -> None:
        """Do nothing."""

    def close(self, *, lost: bool = False) -> None:
        """Do nothing."""
