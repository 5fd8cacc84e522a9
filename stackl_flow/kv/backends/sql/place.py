"""A place of items in the tables of a database: so that a database alone is enough.

Every commit is one transaction, which raises the count of commits and so comes after the others. Waiters in a
SQLite file have named pipes beside it, as in a directory (see ``bell``); on PostgreSQL they are notified. A
commit that woke nobody, because its process was killed, is noticed a moment later all the same.
"""

from __future__ import annotations

import os
import random
import threading
import uuid
from builtins import list as List  # noqa: N812  inside the class, ``list`` is the verb
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow import settings
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.kv.backends.sql import tables
from stackl_flow.kv.backends.sql.dialect import Dialect, Gone
from stackl_flow.kv.backends.sql.postgresql import PostgreSQL
from stackl_flow.kv.backends.sql.sqlite import SQLite
from stackl_flow.kv.backends.sql.writing import Asked, Writing
from stackl_flow.kv.base import KV
from stackl_flow.kv.items import ABSENT, Check, Item, Lease, Put, changed, holds, lease_lost

T = TypeVar("T")

_DIALECTS: Final[dict[str, type[Dialect]]] = {"sqlite": SQLite, "postgresql": PostgreSQL}
#: How long a waiter sleeps at most: a commit that woke nobody is noticed then.
_LOOK_AGAIN: Final = 0.25
_TRIES: Final = 5
_NOTHING: Final = Asked()
_FIRST_PAUSE: Final = 0.1


class SQLKV(KV):
    """Keeps items in the tables of a database; they are made when the place is first used.

    Args:
        conf: "connection" is the address, such as "sqlite:///place.db" or "postgresql://user:password@host/db";
            options stand in it or beside it.
        clock: tells when leases run out, where the database has no clock of its own.

    Raises:
        InvalidFormat: the address or an option makes no sense.
    """

    def __init__(self, conf: str | Mapping[str, Any], clock: Clock = SYSTEM) -> None:
        place = settings.parse(conf)
        super().__init__(place.conf, clock=clock)
        self._dialect = _DIALECTS[place.plug](place)
        self.shared = self._dialect.shared
        self._engine = self._dialect.create_engine()
        self._held = threading.local()
        self._pid = os.getpid()
        self._ready = False

    @property
    def name(self) -> str:
        """The address, without any password."""
        return self._dialect.name

    def close(self) -> None:
        """Close the connections; a place in memory is gone then."""
        ours = self._pid == os.getpid()
        if ours:
            self._dialect.close()
        self._engine.dispose(close=ours)
        self._ready = False

    @contextmanager
    def moment(self) -> Iterator[None]:
        """Let reads inside a ``with`` see one moment: that of one transaction.

        Yields:
            Nothing.
        """
        if self._own() is not None or getattr(self._held, "connection", None) is not None:
            yield
            return
        with self._connected() as connection, self._dialect.transaction(connection, write=False):
            self._held.connection = connection
            try:
                yield
            finally:
                self._held.connection = None

    @contextmanager
    def joined(self, connection: sa.Connection) -> Iterator[None]:
        """Let what this thread does inside a ``with`` be part of a transaction of the caller's own.

        Other commits wait until that transaction ends, so it should do this last.

        Args:
            connection: the caller's connection to the same database, in a transaction.

        Yields:
            Nothing.

        Raises:
            InvalidFormat: that is no such connection.
        """
        name = getattr(getattr(connection, "dialect", None), "name", None)
        if name != self._engine.dialect.name:
            raise exc.InvalidFormat(
                f"{connection!r} does not lead to '{self.name}': give a SQLAlchemy connection to that "
                f"database (of a session: session.connection())"
            )
        with self._errors():
            if not self._ready or self._pid != os.getpid():
                self._make(connection)
                self._dialect.opened(self._engine)
        self._held.joined = connection
        try:
            yield
        finally:
            self._held.joined = None

    def _own(self) -> sa.Connection | None:
        """Give the connection of the transaction that this thread has joined."""
        joined: sa.Connection | None = getattr(self._held, "joined", None)
        return joined

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        """Give a connection, to a database that has the tables."""
        with self._dialect.alone(), self._errors():
            if self._pid != os.getpid():
                # A child process must not use what it got of its parent's connections, nor close them.
                self._engine.dispose(close=False)
                self._pid, self._ready = os.getpid(), False
            if not self._ready:
                self._open()
            with self._engine.connect() as connection:
                yield connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.SQLAlchemyError as error:
            raise self._dialect.translate(error) from error

    def _open(self) -> None:
        with self._engine.connect() as connection, self._dialect.opening(connection):
            self._make(connection)
        self._dialect.opened(self._engine)
        self._ready = True

    def _make(self, connection: sa.Connection) -> None:
        """Make the tables, unless they are there."""
        tables.metadata.create_all(connection)
        found = connection.execute(tables.READ_STATE).one_or_none()
        if found is None:
            first = {"id": 1, "format": tables.FORMAT, "revision": 1}
            connection.execute(sa.insert(tables.state), [first])
        if found is not None and found.format > tables.FORMAT:
            raise exc.IncompatibleVersion(
                f"items in '{self.name}' have format {found.format}, this code writes {tables.FORMAT}: "
                f"use the version of the library that wrote them, or a newer one"
            )

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

    def _read(self, work: Callable[[sa.Connection], T]) -> T:
        held = self._own() or getattr(self._held, "connection", None)
        if held is not None:  # of a moment, or of the caller's own: it ends with its connection
            with self._errors():
                return work(held)

        def once() -> T:
            with self._connected() as connection:
                return work(connection)

        return self._again(once)

    def _write(self, work: Callable[[Writing], T], asked: Asked = _NOTHING) -> T:
        if getattr(self._held, "connection", None) is not None:
            raise exc.StorageFailure("nothing can be written while a moment is held: leave it first")

        joined = self._own()
        if joined is not None:
            with self._errors():
                self._dialect.lock(joined)
                return self._do(work, joined, asked)[0]

        def once() -> tuple[T, bool]:
            with self._connected() as connection, self._dialect.transaction(connection, write=True):
                return self._do(work, connection, asked)

        result, raised = self._again(once)
        if raised:
            self._dialect.ring()
        return result

    def _do(self, work: Callable[[Writing], T], connection: sa.Connection, asked: Asked) -> tuple[T, bool]:
        """Write in a transaction; tell also whether anything changed."""
        writing = Writing(connection, self._dialect.now(self.clock), asked)
        result = work(writing)
        if writing.raised:
            self._dialect.announce(connection)
        return result, writing.raised

    def _get(self, key: str) -> Item | None:
        def ask(connection: sa.Connection) -> List[Item]:
            values = {"key": key, "now": self._dialect.now(self.clock)}
            return [Item(*row) for row in connection.execute(tables.READ_ONE, values)]

        return next(iter(self._read(ask)), None)

    def _list(self, prefix: str, after: str, limit: int | None, *, reverse: bool) -> List[Item]:
        asked = tables.some(prefix=bool(prefix), after=bool(after), limit=limit is not None, reverse=reverse)
        values = {**tables.bounds(prefix), "after": after, "limit": limit}

        def ask(connection: sa.Connection) -> List[Item]:
            rows = connection.execute(asked, {**values, "now": self._dialect.now(self.clock)})
            return [Item(*row) for row in rows]

        return self._read(ask)

    def _commit(
        self, checks: Sequence[Check], puts: Sequence[Put], deletes: Sequence[str], lease: str | None
    ) -> int:
        token = uuid.uuid4().hex if self._dialect.keeps_receipts else ""

        def work(writing: Writing) -> int:
            if writing.landed is not None:
                return writing.landed
            for check in checks:
                found = writing.versions.get(check.key, ABSENT)
                if not holds(check, found):
                    raise changed(check, found)
            if lease is not None and not writing.knows_lease:
                raise lease_lost(lease)
            if token:
                writing.receipt(token)
            writing.delete(deletes)
            writing.put(puts)
            return writing.count()

        return self._write(
            work, Asked(list(dict.fromkeys(check.key for check in checks)), lease or "", token)
        )

    def _grant(self, lease: Lease) -> Lease:
        def work(writing: Writing) -> None:
            # A first try may have landed without our hearing of it.
            if not writing.knows_lease:
                writing.run(tables.LEND, [{"id": lease.id, "until": writing.now + lease.ttl}])

        self._write(work, Asked(lease=lease.id))
        return lease

    def _extend(self, lease: Lease) -> bool:
        def work(writing: Writing) -> bool:
            later = {"lease": lease.id, "now": writing.now, "later": writing.now + lease.ttl}
            return bool(writing.run(tables.EXTEND, later).rowcount)

        return self._write(work)

    def _revoke(self, lease: Lease) -> None:
        self._write(lambda writing: writing.end(lease.id))

    def _wait(self, prefix: str, since: int, timeout: float | None) -> int:
        # A thread waits in real time, whatever clock the leases go by.
        deadline = None if timeout is None else SYSTEM.monotonic() + timeout
        if since == 0:
            return self._revision(prefix, 0)[0]
        with self._dialect.waiting() as bell:
            while True:
                revision, found, runs_out = self._revision(prefix, since)
                if found:
                    return revision
                now = self._dialect.now(self.clock)
                if runs_out is not None and runs_out <= now:
                    self._write(lambda _: None)  # ends the leases that ran out
                    continue
                left = _LOOK_AGAIN if deadline is None else deadline - SYSTEM.monotonic()
                if left <= 0:
                    return since
                lasts = _LOOK_AGAIN if runs_out is None else runs_out - now
                bell.wait(max(min(left, lasts, _LOOK_AGAIN), 0.001))

    def _revision(self, prefix: str, since: int) -> tuple[int, bool, float | None]:
        """Tell the count of commits, whether items with the prefix changed, and when a lease runs out."""
        values = {"since": since, **tables.bounds(prefix)}

        def ask(connection: sa.Connection) -> tuple[int, bool, float | None]:
            revision = int(connection.execute(tables.READ_STATE).one().revision)
            runs_out: float | None = connection.execute(tables.NEXT_END).scalar_one()
            if revision == since:
                return revision, False, runs_out
            found = any(
                connection.execute(asked, values).first() is not None
                for asked in tables.changes(prefix=bool(prefix))
            )
            return revision, found or revision - since > tables.REMEMBERED, runs_out

        return self._read(ask)
