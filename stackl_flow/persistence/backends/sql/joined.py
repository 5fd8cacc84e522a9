"""Flows stored in a transaction of the caller's own: they land when he commits, or never."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from stackl_flow.kv.backends.sql import callers
from stackl_flow.persistence.backends.sql.connection import SQLConnection
from stackl_flow.persistence.backends.sql.link import Link
from stackl_flow.persistence.base import Backend

T = TypeVar("T")


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
        return _JoinedConnection(self, self._parts, self._raw)

    def close(self) -> None:
        """Leave the database open: it is another's."""


class _JoinedConnection(SQLConnection):
    """Writes, and neither begins nor ends anything; nor is anything done again."""

    def __init__(self, backend: Backend, parts: tuple[Any, ...], raw: Any) -> None:
        super().__init__(backend, *parts)
        self._link = _LentLink(self._link, raw)

    def _do(self, work: Callable[[], T]) -> T:
        return work()

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[None]:
        self._writes = write
        with self._link.errors():
            yield


class _LentLink(Link):
    """A connection of the driver's that is ended by nobody but its owner."""

    def __init__(self, link: Link, raw: Any) -> None:
        self.__dict__.update(vars(link))
        self._raw = raw
        self.cursor = callers.plain_cursor(raw)

    def close(self, *, lost: bool = False) -> None:
        """Leave it open."""
