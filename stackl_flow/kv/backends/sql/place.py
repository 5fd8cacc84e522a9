"""A place of items in the tables of a database: so that a database alone is enough.

SQLite for now. Every commit is one transaction, which raises the count of commits and thereby waits for the
others. Waiters in a SQLite file have named pipes beside it, as in a directory (see ``bell``); a commit that
rang no bell, because its process was killed, is noticed a moment later all the same.
"""

from __future__ import annotations

import os
import threading
from builtins import list as List  # noqa: N812  inside the class, ``list`` is the verb
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Final

import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow import settings
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.kv.backends.sql import tables
from stackl_flow.kv.backends.sql.sqlite import SQLite
from stackl_flow.kv.base import KV
from stackl_flow.kv.bell import Bell, ring
from stackl_flow.kv.items import ABSENT, Check, Item, Lease, Put, changed, holds, lease_lost

#: SQLite takes 32,766 values in a statement, older ones 999.
_AT_ONCE: Final = 500
#: How long a waiter sleeps at most: a commit that rang no bell is noticed then.
_LOOK_AGAIN: Final = 0.25


class SQLKV(KV):
    """Keeps items in the tables of a database; they are made when the place is first used.

    Args:
        conf: "connection" is the address, such as "sqlite:///place.db"; options stand in it or beside it.
        clock: tells when leases run out.

    Raises:
        InvalidFormat: the address or an option makes no sense.
    """

    def __init__(self, conf: str | Mapping[str, Any], clock: Clock = SYSTEM) -> None:
        place = settings.parse(conf)
        super().__init__(place.conf, clock=clock)
        self._dialect = SQLite(place)
        self._engine = self._dialect.create_engine()
        self._threads = threading.RLock() if self._dialect.in_memory else nullcontext()
        self._changed = threading.Condition()
        self._held = threading.local()
        self._pid = 0

    @property
    def name(self) -> str:
        """The address, without any password."""
        return self._dialect.name

    def close(self) -> None:
        """Close the connections; a place in memory is gone then."""
        self._engine.dispose(close=self._pid == os.getpid())
        self._pid = 0

    @contextmanager
    def moment(self) -> Iterator[None]:
        """Let reads inside a ``with`` see one moment: that of one transaction.

        Yields:
            Nothing.
        """
        with self._connected() as connection, self._dialect.transaction(connection, write=False):
            self._held.connection = connection
            try:
                yield
            finally:
                self._held.connection = None

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        """Give a connection, to a database that has the tables."""
        with self._threads, self._errors():
            if self._pid != os.getpid():
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
        # A child process must not use what it got of its parent's connections, nor close them.
        self._engine.dispose(close=False)
        with self._engine.connect() as connection, self._dialect.transaction(connection, write=True):
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
        if self._dialect.waiters is not None:
            self._dialect.waiters.mkdir(exist_ok=True)
        self._pid = os.getpid()

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        held = getattr(self._held, "connection", None)
        if held is not None:
            with self._errors():
                yield held
            return
        with self._connected() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[_Writing]:
        if getattr(self._held, "connection", None) is not None:
            raise exc.StorageFailure("nothing can be written while a moment is held: leave it first")
        with self._connected() as connection, self._dialect.transaction(connection, write=True):
            writing = _Writing(connection, self.clock.now())
            for lease in connection.execute(tables.EXPIRED, {"now": writing.now}).scalars().all():
                writing.end(lease)
            yield writing
        if writing.raised:
            with self._changed:
                self._changed.notify_all()
            if self._dialect.waiters is not None:
                ring(self._dialect.waiters)

    def _get(self, key: str) -> Item | None:
        with self._reading() as connection:
            row = connection.execute(tables.READ_ONE, {"key": key, "now": self.clock.now()}).one_or_none()
        return None if row is None else Item(*row)

    def _list(self, prefix: str, after: str, limit: int | None, *, reverse: bool) -> List[Item]:
        asked = tables.some(prefix=bool(prefix), after=bool(after), limit=limit is not None, reverse=reverse)
        values = {**tables.bounds(prefix), "after": after, "limit": limit, "now": self.clock.now()}
        with self._reading() as connection:
            return [Item(*row) for row in connection.execute(asked, values)]

    def _commit(
        self, checks: Sequence[Check], puts: Sequence[Put], deletes: Sequence[str], lease: str | None
    ) -> int:
        with self._writing() as writing:
            found = writing.versions([check.key for check in checks])
            for check in checks:
                if not holds(check, found.get(check.key, ABSENT)):
                    raise changed(check, found.get(check.key, ABSENT))
            if lease is not None and not writing.knows(lease):
                raise lease_lost(lease)
            version = writing.count()
            writing.delete(deletes)
            writing.put(puts)
            return version

    def _grant(self, lease: Lease) -> Lease:
        with self._writing() as writing:
            writing.run(tables.LEND, [{"id": lease.id, "until": writing.now + lease.ttl}])
            return lease

    def _extend(self, lease: Lease) -> bool:
        with self._writing() as writing:
            later = {"lease": lease.id, "now": writing.now, "later": writing.now + lease.ttl}
            return bool(writing.run(tables.EXTEND, later).rowcount)

    def _revoke(self, lease: Lease) -> None:
        with self._writing() as writing:
            writing.end(lease.id)

    def _wait(self, prefix: str, since: int, timeout: float | None) -> int:
        # A thread waits in real time, whatever clock the leases go by.
        deadline = None if timeout is None else SYSTEM.monotonic() + timeout
        if since == 0:
            return self._revision(prefix, 0)[0]
        with self._waiting() as bell:
            while True:
                revision, found, runs_out = self._revision(prefix, since)
                if found:
                    return revision
                now = self.clock.now()
                if runs_out is not None and runs_out <= now:
                    with self._writing():
                        continue
                left = _LOOK_AGAIN if deadline is None else deadline - SYSTEM.monotonic()
                if left <= 0:
                    return since
                lasts = _LOOK_AGAIN if runs_out is None else runs_out - now
                span = max(min(left, lasts, _LOOK_AGAIN), 0.001)
                if bell is None:
                    with self._changed:
                        self._changed.wait(span)
                else:
                    bell.wait(span)

    @contextmanager
    def _waiting(self) -> Iterator[Bell | None]:
        if self._dialect.waiters is None:
            yield None
            return
        with Bell(self._dialect.waiters) as bell:
            yield bell

    def _revision(self, prefix: str, since: int) -> tuple[int, bool, float | None]:
        """Tell the count of commits, whether items with the prefix changed, and when a lease runs out."""
        values = {"since": since, **tables.bounds(prefix)}
        with self._reading() as connection:
            revision = int(connection.execute(tables.READ_STATE).one().revision)
            runs_out: float | None = connection.execute(tables.NEXT_END).scalar_one()
            if revision == since:
                return revision, False, runs_out
            found = any(
                connection.execute(asked, values).first() is not None
                for asked in tables.changes(prefix=bool(prefix))
            )
            return revision, found or revision - since > tables.REMEMBERED, runs_out


class _Writing:
    """A transaction that writes.

    Attributes:
        now: the time, in seconds since 1970.
        raised: whether it has counted a commit.
    """

    def __init__(self, connection: sa.Connection, now: float) -> None:
        self.now = now
        self.raised = False
        self._connection = connection
        self._revision = 0

    def run(self, statement: sa.Executable, values: Any) -> sa.CursorResult[Any]:
        """Run a statement."""
        result: sa.CursorResult[Any] = self._connection.execute(statement, values)
        return result

    def count(self) -> int:
        """Raise the count of commits, once; it is the version of all that is put from now on."""
        if not self.raised:
            self._connection.execute(tables.RAISE)
            self._revision = int(self._connection.execute(tables.READ_STATE).one().revision)
            self.raised = True
        return self._revision

    def versions(self, keys: Sequence[str]) -> dict[str, int]:
        """Read the versions of items."""
        found: dict[str, int] = {}
        for some in _parts(keys):
            rows = self._connection.execute(tables.VERSIONS, {"keys": some, "now": self.now})
            found.update((row.key, row.version) for row in rows)
        return found

    def knows(self, lease: str) -> bool:
        """Say whether there is a lease that has not run out."""
        return self.run(tables.KNOWN, {"lease": lease, "now": self.now}).first() is not None

    def put(self, puts: Sequence[Put]) -> None:
        """Write items."""
        for some in _parts([put.key for put in puts]):
            self.run(tables.REMOVE, {"keys": some})
        rows = [{**put._asdict(), "version": self.count()} for put in puts]
        if rows:
            self.run(tables.INSERT, rows)

    def delete(self, keys: Sequence[str]) -> None:
        """Delete items, and remember that."""
        version = self.count()
        for some in _parts(keys):
            there = self.run(tables.STORED, {"keys": some}).scalars().all()
            if there:
                self.run(tables.FORGET, [{"version": version, "key": key} for key in there])
                self.run(tables.REMOVE, {"keys": there})
        if version % 256 == 0:
            self.run(tables.TRIM, {"before": version - tables.REMEMBERED})

    def end(self, lease: str) -> None:
        """Delete a lease and what stands on it."""
        keys = self.run(tables.ON_LEASE, {"lease": lease}).scalars().all()
        if keys:
            self.delete(keys)
        self.run(tables.END, {"lease": lease})


def _parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), _AT_ONCE):
        yield keys[start : start + _AT_ONCE]
