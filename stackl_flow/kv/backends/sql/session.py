"""The way to the tables: connections, opened when they are needed, and the transactions held on them.

What a thread does is either by itself, on a connection of its own from the pool, done again when the server
was lost; or it is inside a moment, a taking, or a transaction of the caller's own, and ends with that.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.databases import external
from stackl_flow.kv.backends.sql import tables
from stackl_flow.kv.backends.sql.dialect import Dialect, Gone
from stackl_flow.kv.backends.sql.order import Asked
from stackl_flow.kv.backends.sql.transaction import Writing
from stackl_flow.kv.items import Item
from stackl_flow.kv.store import LockItems

T = TypeVar("T")

_TRIES: Final = 5
_NOTHING: Final = Asked()
_FIRST_PAUSE: Final = 0.1


class _Held(threading.local):
    """What a thread is inside of."""

    reading: sa.Connection | None = None
    joined: sa.Connection | None = None
    taking: sa.Connection | None = None
    told = False


class Link:
    """Connections to one database.

    Args:
        dialect: its own ways.
        clock: tells when leases run out, where the database has no clock of its own.
    """

    def __init__(self, dialect: Dialect, clock: Clock) -> None:
        self.name = dialect.name
        self.engine = dialect.create_engine()
        self._dialect = dialect
        self._clock = clock
        self._held = _Held()
        self._pid = os.getpid()
        self._ready = False

    def now(self) -> float:
        """Tell the time by which leases run out, in seconds since 1970."""
        return self._dialect.now(self._clock)

    def close(self) -> None:
        """Close the connections; a database in memory is gone then."""
        ours = self._pid == os.getpid()
        if ours:
            self._dialect.close()
        self.engine.dispose(close=ours)
        self._ready = False

    # ------------------------------------------------------------- inside of what

    @property
    def is_joined(self) -> bool:
        """Whether this thread is inside a transaction of the caller's own."""
        return self._held.joined is not None

    @contextmanager
    def moment(self) -> Iterator[None]:
        """Let reads see one moment.

        Yields:
            Nothing.
        """
        held = self._held
        if held.joined is not None or held.taking is not None or held.reading is not None:
            yield
            return
        with self._connected() as connection, self._dialect.transaction(connection, write=False):
            held.reading = connection
            try:
                yield
            finally:
                held.reading = None

    @contextmanager
    def joined(self, given: Any) -> Iterator[None]:
        """Let what is done be part of a transaction of the caller's own.

        Args:
            given: the caller's connection.

        Yields:
            Nothing.

        Raises:
            InvalidFormat: it is of no use.
        """
        if not self._dialect.shared:
            raise external.elsewhere(self.name)
        theirs = external.connection_of(given, self.engine, self.name)
        self._check_same(theirs)
        if not self._ready or self._pid != os.getpid():
            self._open_beside(theirs)
        self._held.joined = theirs
        try:
            yield
        finally:
            self._held.joined = None

    def _check_same(self, theirs: sa.Connection) -> None:
        """Refuse a connection that leads to another database."""
        with self._errors():
            if not external.lead_to_same(theirs, self.engine):
                raise external.elsewhere(self.name)

    def _open_beside(self, theirs: sa.Connection) -> None:
        """Make the tables, unless they are there; in the caller's transaction where that locks others out."""
        if self._dialect.keeps_receipts:
            with self._connected():
                return
        with self._errors():
            self._make(theirs)
            self._dialect.opened(self.engine)

    def taking(self, work: Callable[[LockItems], T]) -> T:
        """Do something in a transaction in which items are taken before others can have them.

        Args:
            work: gets a function that takes items by their keys. It may be done again, if nothing landed.

        Returns:
            What it gave.

        Raises:
            StorageFailure: the server was lost at the end: nobody knows whether it landed.
        """
        held = self._held

        def once() -> T:
            finished = False
            try:
                with self._connected() as connection:
                    with self._dialect.transaction(connection, write=True):
                        self._dialect.order.lock(connection, _NOTHING, joined=False)
                        held.taking, held.told = connection, False
                        try:
                            result = work(self._take)
                        finally:
                            held.taking = None
                        finished = True
                    if held.told:
                        self._dialect.announce(connection)
                    return result
            except Gone as error:
                if finished:
                    raise exc.StorageFailure(str(error), cause=error) from error
                raise

        return self._again(once)

    def _take(self, keys: Sequence[str]) -> list[Item]:
        values = {"keys": list(keys), "now": self.now()}
        connection = self._held.taking
        if connection is None:
            raise exc.StorageFailure(f"items of '{self.name}' cannot be taken any more: that is over")
        with self._errors():
            return [Item(*row) for row in connection.execute(self._dialect.take, values)]

    # ------------------------------------------------------------- being there

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        """Give a connection, to a database that has the tables."""
        with self._dialect.alone(), self._errors():
            if self._pid != os.getpid():
                # A child process must not use what it got of its parent's connections, nor close them.
                self.engine.dispose(close=False)
                self._pid, self._ready = os.getpid(), False
            if not self._ready:
                self._open()
            with self.engine.connect() as connection:
                yield connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.SQLAlchemyError as error:
            raise self._dialect.translate(error) from error

    def _open(self) -> None:
        with self.engine.connect() as connection:
            made = self._is_made(connection)
        if not made:
            with self.engine.connect() as connection, self._dialect.opening(connection):
                self._make(connection)
        self._dialect.opened(self.engine)
        self._ready = True

    def _is_made(self, connection: sa.Connection) -> bool:
        """Look whether there is anything to be made: who makes something has to wait for those who write."""
        if not sa.inspect(connection).has_table(tables.state.name):
            return False
        found = connection.execute(tables.READ_STATE).one_or_none()
        return found is not None and bool(found.format == self._dialect.format)

    def _make(self, connection: sa.Connection) -> None:
        """Make the tables, unless they are there."""
        tables.metadata.create_all(connection)
        found = connection.execute(tables.READ_STATE).one_or_none()
        if found is None:
            first = {"id": 1, "format": tables.FORMAT, "revision": 1}
            connection.execute(sa.insert(tables.state), [first])
            found = connection.execute(tables.READ_STATE).one()
        ours = self._dialect.format
        if found.format > ours:
            raise exc.IncompatibleVersion(
                f"items in '{self.name}' have format {found.format}, this code writes {ours}: "
                f"use the version of the library that wrote them, or a newer one"
            )
        if found.format < ours:
            self._dialect.renew(connection, found)
            connection.execute(sa.update(tables.state).values(format=ours))

    # ------------------------------------------------------------- reading and writing

    def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Read.

        Args:
            work: what to do on a connection.

        Returns:
            What it gave.
        """
        held = self._held.joined or self._held.taking or self._held.reading
        if held is not None:
            with self._errors():
                return work(held)

        def once() -> T:
            with self._connected() as connection:
                return work(connection)

        return self._again(once)

    def write(self, work: Callable[[Writing], T], asked: Asked = _NOTHING) -> T:
        """Write.

        Args:
            work: what to do in a transaction that writes.
            asked: what it wants to know, and writes.

        Returns:
            What it gave.
        """
        held = self._held
        if held.reading is not None:
            raise exc.StorageFailure("nothing can be written while a moment is held: leave it first")
        if held.joined is not None:
            with self._errors():
                return self._do(work, held.joined, asked, joined=True)[0]
        if held.taking is not None:
            with self._errors():
                result, told = self._do(work, held.taking, asked)
            held.told = held.told or told
            return result

        def once() -> T:
            with self._connected() as connection:
                with self._dialect.transaction(connection, write=True):
                    result, told = self._do(work, connection, asked)
                if told:
                    self._dialect.announce(connection)
                return result

        return self._again(once)

    def _do(
        self, work: Callable[[Writing], T], connection: sa.Connection, asked: Asked, *, joined: bool = False
    ) -> tuple[T, bool]:
        """Write in a transaction; say also whether others are to hear of it."""
        self._dialect.order.lock(connection, asked, joined=joined)
        if joined and not self._dialect.in_transaction(external.lent_by(connection)):
            raise external.alone(self.name)
        writing = Writing(connection, self._dialect, self.now(), asked, joined=joined)
        result = work(writing)
        if joined and writing.raised:
            self._dialect.announce(connection)
        return result, writing.raised

    def _again(self, work: Callable[[], T]) -> T:
        """Do something, and do it again when the server was lost or undid it."""
        pause = _FIRST_PAUSE
        for left in range(_TRIES - 1, -1, -1):
            try:
                return work()
            except Gone:
                if not left:
                    raise
            SYSTEM.sleep(random.uniform(pause / 2, pause))  # noqa: S311  no secret
            pause *= 2
        raise AssertionError("the last try either returns or raises")
