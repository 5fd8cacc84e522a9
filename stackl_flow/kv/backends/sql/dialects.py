"""What a key-value store does differently on each database: the order of commits, and wake-ups of waiters."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.databases import Database
from stackl_flow.databases.server import ServerDatabase
from stackl_flow.databases.sqlite import SQLite
from stackl_flow.kv.backends.sql import commit_order, tables
from stackl_flow.kv.backends.sql.commit_order import (
    ConcurrentCommits,
    MySQLCommits,
    SerializedCommits,
    SQLiteCommits,
)
from stackl_flow.kv.backends.sql.postgresql_commit import PipelinedCommit
from stackl_flow.kv.backends.sql.sqlite_commit import MAX_CHECKS, SQLiteCommit
from stackl_flow.kv.backends.sql.transaction import Commit, WholeCommit
from stackl_flow.kv.backends.sql.wakeups import Listener, LocalWakeups, PipeWaiter, Waiter
from stackl_flow.kv.wakeup_pipe import wake_all

if TYPE_CHECKING:
    from stackl_flow.databases.postgresql import PostgreSQL  # which needs its driver

#: Seconds after which a waiter looks for changes that woke no one: commits of other machines, or of a process
#: that was killed, or of a transaction of the caller. Longer where every commit notifies.
_POLL_INTERVAL: Final = 1.0
_LISTENING_POLL_INTERVAL: Final = 5.0
#: The first after a change, where commits of other processes never notify.
_FIRST_POLL_INTERVAL: Final = 0.1
#: The end of the channel of waiters for all keys.
_EVERYTHING: Final = "all"


class Dialect(ABC):
    """The store's side of one kind of database.

    Attributes:
        commits: in which order commits are applied.
        max_operations: how many items one commit may write, or None.
        needs_locking_reads: whether reads in a transaction of the caller must lock to see what is there now.
        lock_items: the query for items that the transaction locks.
    """

    max_operations: int | None = None
    needs_locking_reads = False
    lock_items: sa.Select[Any] = tables.SELECT_ITEMS

    def __init__(self, commits: SerializedCommits) -> None:
        self.commits = commits

    def configure(self, engine: sa.Engine) -> None:  # noqa: B027  most have nothing to do
        """Adapt an engine that was just made."""

    def create_extras(self, connection: sa.Connection, revision: int) -> None:  # noqa: B027  most have nothing to do
        """Create what the database needs besides the tables, for a new store or one of an older format.

        Args:
            connection: the connection, in the transaction that creates the tables.
            revision: the count of commits in ``kv_state``.
        """

    def start(self, engine: sa.Engine) -> None:  # noqa: B027  most have nothing to do
        """Prepare for waiters; the tables exist."""

    def whole(self, commit: Commit) -> WholeCommit | None:  # noqa: ARG002  databases differ
        """Return a commit that is sent as a whole, if the database can do that."""
        return None

    @abstractmethod
    def notify(self, connection: sa.Connection, tags: Collection[str]) -> None:
        """Wake the waiters of these tags: at once, or when a transaction of the caller commits."""

    @abstractmethod
    def waiter(self, tag: str) -> Waiter:
        """Return what a thread waits at; commits with this tag wake it from now on."""

    def close(self) -> None:  # noqa: B027  most have nothing to do
        """Release what waiters need."""


class SQLiteDialect(Dialect):
    """SQLite: waiters have named pipes beside the file; in memory they wait in this process."""

    def __init__(self, database: SQLite) -> None:
        super().__init__(SQLiteCommits())
        self._pipes = None if database.file is None else Path(f"{database.file}-waiters")
        self._wakeups = LocalWakeups()

    def whole(self, commit: Commit) -> WholeCommit | None:
        """Return a commit by the driver."""
        return SQLiteCommit(commit) if len(commit.checks) <= MAX_CHECKS else None

    def start(self, engine: sa.Engine) -> None:  # noqa: ARG002  files
        """Create the folder of the pipes."""
        if self._pipes is not None:
            with suppress(OSError):  # without it, waiters poll
                self._pipes.mkdir(exist_ok=True)

    def notify(self, connection: sa.Connection, tags: Collection[str]) -> None:  # noqa: ARG002  pipes
        """Wake the waiters."""
        if self._pipes is None:
            self._wakeups.wake(tags)
        else:
            wake_all(self._pipes, tags)

    def waiter(self, tag: str) -> Waiter:
        """Return what a thread waits at."""
        if self._pipes is None:
            return self._wakeups.waiter(tag, _POLL_INTERVAL)
        return PipeWaiter(self._pipes, tag, _POLL_INTERVAL)


class MySQLDialect(Dialect):
    """MariaDB and MySQL: commits wake the waiters of this process, others poll (see ``waiting``)."""

    # The caller's transaction reads what was there when it began, unless it locks what it reads.
    needs_locking_reads = True

    def __init__(self) -> None:
        super().__init__(MySQLCommits())
        self._wakeups = LocalWakeups()

    def configure(self, engine: sa.Engine) -> None:
        """Save the ROLLBACK that SQLAlchemy sends after each statement, although that commits by itself."""
        roll_back = engine.dialect.do_rollback

        def roll_back_if_needed(raw: Any) -> None:
            if not raw.get_autocommit():
                roll_back(raw)

        setattr(engine.dialect, "do_rollback", roll_back_if_needed)  # noqa: B010  a method

    def notify(self, connection: sa.Connection, tags: Collection[str]) -> None:  # noqa: ARG002  others poll
        """Wake the waiters of this process."""
        self._wakeups.wake(tags)

    def waiter(self, tag: str) -> Waiter:
        """Return what a thread waits at."""
        return self._wakeups.waiter(tag, _POLL_INTERVAL, _FIRST_POLL_INTERVAL)


class PostgreSQLDialect(Dialect):
    """PostgreSQL: concurrent commits notify channels, to which one thread of each store listens."""

    max_operations = 2_000
    lock_items = tables.SELECT_ITEMS.with_for_update(of=tables.items, skip_locked=True)

    _CHANNEL: Final = "stackl_flow_kv"
    _NOTIFY: Final = sa.text(
        "SELECT pg_notify(channel, '') FROM unnest(CAST(:channels AS text[])) AS channel"
    )

    def __init__(self, database: PostgreSQL) -> None:
        super().__init__(ConcurrentCommits())
        self._database = database
        self._name = database.name
        self._timeout = database.timeout
        self._engine: sa.Engine | None = None
        self._listener: Listener | None = None
        self._starting = threading.Lock()

    def create_extras(self, connection: sa.Connection, revision: int) -> None:
        """Create the sequence of versions and the column of transaction ids."""
        for statement in commit_order.CREATE:
            connection.execute(sa.text(statement), {"revision": revision})

    def start(self, engine: sa.Engine) -> None:
        """Remember the engine for the listener."""
        self._engine = engine

    def whole(self, commit: Commit) -> WholeCommit | None:
        """Return a commit that is one round trip."""
        return PipelinedCommit(self._database, commit, self._channels(commit.tags))

    def notify(self, connection: sa.Connection, tags: Collection[str]) -> None:
        """Notify the channels; in a transaction, the server delivers it at the commit."""
        connection.execute(self._NOTIFY, {"channels": self._channels(tags)})

    def _channels(self, tags: Collection[str]) -> list[str]:
        # Who waits for everything listens to an own channel, which every commit notifies.
        return [f"{self._CHANNEL}_{tag}" for tag in (*tags, _EVERYTHING)]

    def waiter(self, tag: str) -> Waiter:
        """Return what a thread waits at; the first one starts the listener."""
        with self._starting:
            if self._engine is not None and (self._listener is None or not self._listener.is_alive()):
                self._listener = Listener(self._engine, self._CHANNEL)
                self._listener.start()
            listener = self._listener
        if listener is None:
            raise exc.StorageFailure(f"'{self._name}' is not open")
        listener.add(tag or _EVERYTHING, self._timeout)
        return listener.wakeups.waiter(
            tag or _EVERYTHING, lambda: _LISTENING_POLL_INTERVAL if listener.is_listening else _POLL_INTERVAL
        )

    def close(self) -> None:
        """Stop listening."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.stop()


def dialect_of(database: Database) -> Dialect:
    """Return the dialect for a database."""
    if isinstance(database, SQLite):
        return SQLiteDialect(database)
    if isinstance(database, ServerDatabase):
        is_postgresql = database.url.backend == "postgresql"
        return PostgreSQLDialect(cast("PostgreSQL", database)) if is_postgresql else MySQLDialect()
    raise exc.NotFound(f"no key-value store can be in '{database.name}': use SQLite, PostgreSQL or MariaDB")
