"""Access to the tables: connections, the transactions held on them, and what each thread is inside of.

A thread reads and writes by itself, on a connection of its own from the pool, and retries when the server was
lost. Or it is inside a snapshot, a locking transaction or a transaction of the caller, and ends with that.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow import redaction
from stackl_flow.clock import SYSTEM, Clock, LeaseTime, boot_id
from stackl_flow.databases import Database, ErrorKind, Retrying, RetryPolicy
from stackl_flow.databases import external as external_connections
from stackl_flow.databases.server import ServerDatabase
from stackl_flow.kv.backends.sql import tables
from stackl_flow.kv.backends.sql.commit_order import WriteRequest
from stackl_flow.kv.backends.sql.dialects import dialect_of
from stackl_flow.kv.backends.sql.transaction import Commit, WholeCommit, WriteTransaction, trim
from stackl_flow.kv.items import Item
from stackl_flow.kv.store import LockItems

T = TypeVar("T")

_LOG: Final = redaction.get_logger(__name__)

_NOTHING: Final = WriteRequest()
_RETRY_POLICY: Final = RetryPolicy(
    frozenset({ErrorKind.CONFLICT, ErrorKind.UNAVAILABLE, ErrorKind.DISCONNECTED}),
    max_attempts=5,
    first_delay=0.1,
    factor=2.0,
    max_seconds=10.0,
    jitter=True,
    first_connection=True,
    log_level=logging.DEBUG,
)
#: How many idle connections to a server are kept.
_POOL_SIZE: Final = 20
#: Every transaction is ended by a statement, so nothing has to be rolled back when a connection is returned.
_SERVER_POOL: Final[Mapping[str, Any]] = {"pool_size": _POOL_SIZE, "pool_reset_on_return": None}
#: Seconds after which the server's time is read again.
_CLOCK_INTERVAL: Final = 300.0


class ServerClock:
    """The time of a server, read once and then followed by this machine's monotonic clock.

    Leases expire by it, so a client whose clock is wrong neither extends nor shortens one.

    Args:
        query: the query for the time, in seconds since the epoch.
    """

    def __init__(self, query: str) -> None:
        self._query = sa.text(query)
        self._time, self._read_at = 0.0, 0.0

    def synchronize(self, engine: sa.Engine) -> None:
        """Read the server's time."""
        with engine.connect() as connection:
            before = SYSTEM.monotonic()
            self._time = float(connection.execute(self._query).scalar_one())
            # Halfway between request and response.
            self._read_at = (before + SYSTEM.monotonic()) / 2

    def now(self, engine: sa.Engine) -> float:
        """Return the server's time, in seconds since the epoch."""
        if SYSTEM.monotonic() - self._read_at > _CLOCK_INTERVAL:
            self.synchronize(engine)
        return self._time + SYSTEM.monotonic() - self._read_at


class _ThreadState(threading.local):
    """The connection of what this thread is inside of, and the tags of what it has committed there."""

    snapshot: sa.Connection | None = None
    external: sa.Connection | None = None
    locking: sa.Connection | None = None
    committed: set[str] = set()  # noqa: RUF012  replaced at the start of each transaction


class Session:
    """Connections to one database.

    Args:
        database: the database.
        clock: the time by which leases expire, if the database is not a server.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self.name = database.name
        self.dialect = dialect_of(database)
        self.engine = database.create_engine(**(_SERVER_POOL if database.is_server else {}))
        self.dialect.configure(self.engine)
        self._database = database
        self._clock = clock
        self._server_clock = (
            ServerClock(database.SERVER_TIME) if isinstance(database, ServerDatabase) else None
        )
        self._retrying = Retrying(database, _RETRY_POLICY, SYSTEM.sleep)
        self._thread = _ThreadState()
        self._pid = os.getpid()
        self._is_open = False
        # Of a database in memory; that of a file is stored in it.
        self._lease_time = LeaseTime.begin(clock)

    def now(self) -> float:
        """Return the time by which leases expire, in seconds since about the epoch."""
        if self._server_clock is not None:
            return self._server_clock.now(self.engine)
        return self._lease_time.now(self._clock)

    def close(self) -> None:
        """Close the connections; a database in memory is gone then."""
        ours = self._pid == os.getpid()
        if ours:
            self.dialect.close()
        self.engine.dispose(close=ours)
        self._is_open = False

    # ------------------------------------------------------------------ reading and writing

    def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Read: pass a connection to a function, and return its result."""
        held = self._thread.external or self._thread.locking or self._thread.snapshot
        if held is not None:
            with self._translate_errors():
                return work(held)

        def once() -> T:
            with self._connect() as connection:
                return work(connection)

        return self._retrying(once)

    def write(self, work: Callable[[WriteTransaction], T], request: WriteRequest = _NOTHING) -> T:
        """Write: pass a transaction to a function, and return its result.

        Args:
            work: writes in the transaction; it may be called again if nothing was written.
            request: what it reads, and writes.
        """
        thread = self._thread
        if thread.snapshot is not None:
            raise exc.StorageFailure("nothing can be written inside a snapshot: leave it first")
        if thread.external is not None:
            with self._translate_errors():
                return self._write(work, thread.external, request, external=True)[0]
        if thread.locking is not None:
            with self._translate_errors():
                result, committed = self._write(work, thread.locking, request)
            thread.committed |= committed
            return result

        def once() -> T:
            with self._connect() as connection:
                with self._database.transaction(connection, write=True):
                    result, committed = self._write(work, connection, request)
                if committed:
                    self._wake_waiters(connection, committed)
                return result

        return self._retrying(once)

    def commit(self, commit: Commit) -> int:
        """Check and write a commit, and return its version."""
        thread = self._thread
        if thread.locking is not None:
            return self._commit_inside(thread.locking, commit)
        if thread.snapshot is not None or thread.external is not None:
            return self.write(commit.apply, commit.request)

        def once() -> WholeCommit | None:
            whole = self.dialect.whole(commit)
            if whole is None:
                return None
            with self._connect() as connection:
                with self._driver_connection(connection) as raw:
                    whole.send(raw, self.now())
                if whole.version is not None:
                    if not whole.notifies:
                        self._wake_waiters(connection, commit.tags)
                    self._trim(connection, whole.version)
                return whole

        return self._version_of(commit, self._retrying(once))

    def _commit_inside(self, connection: sa.Connection, commit: Commit) -> int:
        """Write a commit in the transaction in which this thread locks items."""
        whole = self.dialect.whole(commit)
        if whole is not None:
            with self._driver_connection(connection, rolls_back=False) as raw:
                whole.send(raw, self.now(), inside=True)
            if whole.version is not None:
                self._thread.committed |= commit.tags
                with self._translate_errors():
                    trim(connection, whole.version)
        return self._version_of(commit, whole)

    def _version_of(self, commit: Commit, whole: WholeCommit | None) -> int:
        """Return the version of what was sent as a whole; if it could not be applied so, write it now."""
        if whole is None or (whole.version is None and whole.has_expired_leases):
            # Expired leases are deleted by statements of their own.
            return self.write(commit.apply, commit.request)
        version = commit.check(whole) if whole.version is None else whole.version
        return self.write(commit.apply, commit.request) if version is None else version

    @contextmanager
    def _driver_connection(self, connection: sa.Connection, *, rolls_back: bool = True) -> Iterator[Any]:
        """Let a block use the driver directly; its errors become those of SQLAlchemy's connections."""
        raw: Any = connection.connection.driver_connection
        driver_error = self.engine.dialect.loaded_dbapi.Error
        try:
            yield raw
        except driver_error as error:
            if rolls_back:
                with suppress(driver_error):
                    raw.rollback()
            raise self._database.translate(error) from error
        finally:
            if getattr(raw, "closed", False):
                connection.invalidate()
                self.engine.dispose()  # the server was lost, so the other idle connections are, too

    def _trim(self, connection: sa.Connection, version: int) -> None:
        """Trim after a commit, which must not look failed if that fails: a later one does it."""
        try:
            trim(connection, version)
        except sa.exc.SQLAlchemyError as error:
            _LOG.debug("old commits of '%s' are not deleted: %s", self.name, error)

    def _wake_waiters(self, connection: sa.Connection, tags: set[str]) -> None:
        """Wake waiters after a commit, which must not look failed if that fails: waiters also poll."""
        try:
            self.dialect.notify(connection, tags)
        except (sa.exc.SQLAlchemyError, OSError) as error:
            _LOG.debug("waiters of '%s' are not woken: %s", self.name, error)

    def update(self, statement: sa.Executable, values: Callable[[], Mapping[str, Any]]) -> int:
        """Run one statement that wakes no waiter, as a transaction of its own; return the number of rows.

        Args:
            statement: the statement; it is run again if its answer is lost.
            values: makes its values.
        """
        thread = self._thread
        held = thread.external or thread.locking
        if held is not None:
            with self._translate_errors():
                return int(held.execute(statement, values()).rowcount)

        def once() -> int:
            with self._connect() as connection:
                return int(connection.execute(statement, values()).rowcount)

        return self._retrying(once)

    def _write(
        self,
        work: Callable[[WriteTransaction], T],
        connection: sa.Connection,
        request: WriteRequest,
        *,
        external: bool = False,
    ) -> tuple[T, set[str]]:
        """Write in a transaction; return also the tags of the waiters to notify."""
        self.dialect.commits.lock(connection, request, external=external)
        if external and not self._database.has_open_transaction(
            external_connections.driver_connection(connection)
        ):
            raise external_connections.autocommit_error(self.name)
        transaction = WriteTransaction(connection, self.dialect, self.now(), request, external=external)
        result = work(transaction)
        if external and transaction.has_committed:
            self.dialect.notify(connection, transaction.tags)
        return result, transaction.tags

    # ------------------------------------------------------------------ snapshots and shared transactions

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all reads of this thread see one snapshot."""
        thread = self._thread
        if thread.external is not None or thread.locking is not None or thread.snapshot is not None:
            yield
            return
        with self._connect() as connection, self._database.transaction(connection, write=False):
            thread.snapshot = connection
            try:
                yield
            finally:
                thread.snapshot = None

    @property
    def is_in_external_transaction(self) -> bool:
        """Whether this thread is inside a transaction of the caller."""
        return self._thread.external is not None

    @contextmanager
    def external_transaction(self, given: Any) -> Iterator[None]:
        """Let this thread read and write in a transaction of the caller.

        Args:
            given: the caller's connection.

        Raises:
            InvalidFormat: it cannot be used.
        """
        if not self._database.is_shared:
            raise external_connections.other_database_error(self.name)
        connection = external_connections.wrap_connection(given, self.engine, self.name)
        with self._translate_errors():
            if not external_connections.is_same_database(connection, self.engine, self._database):
                raise external_connections.other_database_error(self.name)
        if not self._is_open or self._pid != os.getpid():
            self._open_for(connection)
        self._thread.external = connection
        try:
            yield
        finally:
            self._thread.external = None

    def _open_for(self, connection: sa.Connection) -> None:
        """Create the tables; in the caller's transaction if it keeps other writers out."""
        if self._database.is_server:
            with self._connect():
                return
        with self._translate_errors():
            self._create_tables(connection)
            stored = self._stored_lease_time(connection)
            if stored is not None and stored.boot == boot_id(self._clock):
                self._lease_time = stored
            self.dialect.start(self.engine)

    def run_with_locks(self, work: Callable[[LockItems], T]) -> T:
        """Run a function in a transaction in which it locks items.

        Args:
            work: receives a function that locks items by their keys and returns those that no other
                transaction has locked. It may be called again if nothing was written.

        Raises:
            StorageFailure: the server was lost during the commit, whose outcome is unknown.
        """
        thread = self._thread

        def once() -> T:
            finished = False
            try:
                with self._connect() as connection:
                    with self._database.transaction(connection, write=True):
                        self.dialect.commits.lock(connection, _NOTHING, external=False)
                        thread.locking, thread.committed = connection, set()
                        try:
                            result = work(self._lock_items)
                        finally:
                            thread.locking = None
                        finished = True
                    if thread.committed:
                        self._wake_waiters(connection, thread.committed)
                    return result
            except exc.StorageFailure as error:
                if finished and self._retrying.is_retryable(error):
                    # It may have been committed, so it is not run again.
                    raise exc.StorageFailure(str(error), cause=error) from error
                raise

        return self._retrying(once)

    def _lock_items(self, keys: Sequence[str]) -> list[Item]:
        values = {"keys": list(keys), "now": self.now()}
        connection = self._thread.locking
        if connection is None:
            raise exc.StorageFailure(
                f"items of '{self.name}' cannot be locked after the transaction has ended"
            )
        with self._translate_errors():
            return [Item(*row) for row in connection.execute(self.dialect.lock_items, values)]

    # ------------------------------------------------------------------ opening

    @contextmanager
    def _connect(self) -> Iterator[sa.Connection]:
        """Open a connection to a database that has the tables."""
        with self._database.lock(), self._translate_errors():
            if self._pid != os.getpid():
                # A forked process must neither use nor close its parent's connections.
                self.engine.dispose(close=False)
                self._pid, self._is_open = os.getpid(), False
            if not self._is_open:
                self._open()
            with self.engine.connect() as connection:
                yield connection

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.SQLAlchemyError as error:
            raise self._database.translate(error) from error

    def _open(self) -> None:
        self._database.check_path(create=True)
        with self.engine.connect() as connection:
            created = self._has_current_tables(connection)
        if not created:
            with self.engine.connect() as connection, self._database.schema_change(connection):
                self._create_tables(connection)
        if self._server_clock is not None:
            self._server_clock.synchronize(self.engine)
        elif self._database.is_shared:
            with self.engine.connect() as connection:
                self._lease_time = self._read_lease_time(connection)
        self.dialect.start(self.engine)
        self._is_open = True

    def _read_lease_time(self, connection: sa.Connection) -> LeaseTime:
        """Read the time scale of leases from a file, which begins one at its first use in a boot."""
        stored = self._stored_lease_time(connection)
        if stored is not None and stored.boot == boot_id(self._clock):
            return stored
        try:
            with self._database.schema_change(connection):
                tables.lease_time.create(connection, checkfirst=True)
                stored = self._stored_lease_time(connection)
                if stored is not None and stored.boot == boot_id(self._clock):
                    return stored  # another process was faster
                begun = self._begin_lease_time(connection, stored)
                connection.execute(sa.delete(tables.lease_time))
                connection.execute(sa.insert(tables.lease_time).values(id=1, **begun._asdict()))
                return begun
        except sa.exc.OperationalError as error:
            if self._database.explain(error.orig).kind is not ErrorKind.PERMANENT:
                raise
            _LOG.debug("'%s' cannot be written: its leases are read as if it could (%s)", self.name, error)
            return self._begin_lease_time(connection, stored)

    @staticmethod
    def _stored_lease_time(connection: sa.Connection) -> LeaseTime | None:
        if not sa.inspect(connection).has_table(tables.lease_time.name):
            return None
        row = connection.execute(tables.SELECT_LEASE_TIME).one_or_none()
        return None if row is None else LeaseTime(*row)

    def _begin_lease_time(self, connection: sa.Connection, earlier: LeaseTime | None) -> LeaseTime:
        if earlier is None or not earlier.boot:
            return LeaseTime.begin(self._clock)  # leases of earlier versions follow the wall clock
        return LeaseTime.begin(self._clock, connection.execute(tables.LAST_EXPIRY).scalar_one() or 0.0)

    @staticmethod
    def _has_current_tables(connection: sa.Connection) -> bool:
        # Without a lock: a process that creates tables has to wait for all writers.
        if not sa.inspect(connection).has_table(tables.state.name):
            return False
        row = connection.execute(tables.SELECT_STATE).one_or_none()
        return row is not None and bool(row.format == tables.FORMAT)

    def _create_tables(self, connection: sa.Connection) -> None:
        """Create the tables, or bring them to the format of this code."""
        exists = sa.inspect(connection).has_table(tables.state.name)
        row = connection.execute(tables.SELECT_STATE).one_or_none() if exists else None
        if row is not None and row.format > tables.FORMAT:
            raise exc.IncompatibleVersion(
                f"items in '{self.name}' have format {row.format}, this code writes {tables.FORMAT}: "
                f"use the version of the library that wrote them, or a newer one"
            )
        if row is not None and row.format == tables.FORMAT:
            return
        tables.rename_old_tables(connection)
        tables.metadata.create_all(connection)
        revision = 1 if row is None else int(row.revision)
        self.dialect.create_extras(connection, revision)
        values = {"format": tables.FORMAT, "revision": revision}
        if row is None:
            connection.execute(sa.insert(tables.state), [{"id": 1, **values}])
        else:
            connection.execute(sa.update(tables.state).values(format=tables.FORMAT))
