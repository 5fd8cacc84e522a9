"""A key-value store in the tables of an SQL database, so that a database alone is enough.

Every commit is one transaction. On PostgreSQL, commits that share a key are serialized; on SQLite and MariaDB
all commits are. A waiter on a SQLite file has a named pipe beside the file, as in a directory (see
`wakeup_pipe`); on PostgreSQL it is notified. A commit that woke no waiter, because its process was killed or
because the transaction was the caller's, is noticed a moment later by polling.
"""

from __future__ import annotations

import uuid
from builtins import list as List  # noqa: N812  inside the class, ``list`` is a method
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import sqlalchemy as sa

from stackl_flow import urls
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.databases import open_database
from stackl_flow.kv.backends.sql import tables
from stackl_flow.kv.backends.sql.commit_order import Observation, WriteRequest
from stackl_flow.kv.backends.sql.session import Session
from stackl_flow.kv.backends.sql.transaction import Commit, WriteTransaction
from stackl_flow.kv.backends.sql.waiting import Watch
from stackl_flow.kv.backends.sql.wakeups import tag_of
from stackl_flow.kv.items import (
    Check,
    Item,
    Lease,
    Limits,
    Put,
)
from stackl_flow.kv.ordered import root_of
from stackl_flow.kv.store import KV, LockItems
from stackl_flow.kv.watches import Watches

T = TypeVar("T")


class SQLKV(KV):
    """Stores items in the tables of a database, which are created when the store is first used.

    Args:
        conf: a URL, such as "sqlite:///jobs.db", "postgresql://user:password@host/db" or
            "mysql://user:password@host/db", or a mapping with one under "connection" and options beside it.
        clock: the time by which leases expire in SQLite; a server uses its own.

    Raises:
        InvalidFormat: the URL or one of its options is invalid.
        NotFound: the driver is not installed.
    """

    supports_locks = True

    def __init__(self, conf: str | Mapping[str, Any], clock: Clock = SYSTEM) -> None:
        url = urls.parse(conf)
        super().__init__(url.conf, clock=clock)
        self._database = open_database(url)
        self._session = Session(self._database, clock)
        self._dialect = self._session.dialect
        self._watches: Watches[Watch] = Watches()
        self.is_shared = self._database.is_shared

    @property
    def limits(self) -> Limits:  # type: ignore[override]  # known once it is connected
        """The largest value and commit; of a server, once a connection was made."""
        return Limits(value=self._database.max_value, operations=self._dialect.max_operations)

    @property
    def name(self) -> str:
        """The URL, without password and options."""
        return self._database.name

    def close(self) -> None:
        """Close the connections; a store in memory is gone then."""
        self._watches.close()
        self._session.close()

    def snapshot(self) -> AbstractContextManager[None]:
        """Let reads inside a ``with`` see one snapshot: that of one transaction."""
        return self._session.snapshot()

    def external_transaction(self, connection: Any) -> AbstractContextManager[None]:
        """Let what this thread does inside a ``with`` be part of a transaction of the caller.

        On SQLite and MariaDB all other commits wait until that transaction ends, so do this last in it.

        Args:
            connection: the caller's connection to the same database, in a transaction: a SQLAlchemy
                connection or session, or a connection of the driver (sqlite3, psycopg, PyMySQL).

        Raises:
            InvalidFormat: it is none of these, it is closed, or it commits each statement by itself.
        """
        return self._session.external_transaction(connection)

    def run_with_locks(self, work: Callable[[LockItems], T]) -> T:
        """Run a function in a transaction in which it locks items, and return its result.

        Args:
            work: receives a function that locks items by their keys and returns those that no other
                transaction has locked. It may be called again if nothing was written.
        """
        return self._session.run_with_locks(work)

    # ------------------------------------------------------------------ reading

    def _get(self, key: str) -> Item | None:
        query = self._current(tables.SELECT_ITEM)

        def read(connection: sa.Connection) -> List[Item]:
            values = {"key": key, "now": self._session.now()}
            return [Item(*row) for row in connection.execute(query, values)]

        return next(iter(self._session.read(read)), None)

    def _list(self, prefix: str, after: str, limit: int | None, *, reverse: bool) -> List[Item]:
        form = {"prefix": bool(prefix), "after": bool(after), "limit": limit is not None, "reverse": reverse}
        query = self._current(tables.select_range(**form))
        values = {**tables.prefix_bounds(prefix), "after": after, "limit": limit}

        def read(connection: sa.Connection) -> List[Item]:
            rows = connection.execute(query, {**values, "now": self._session.now()})
            return [Item(*row) for row in rows]

        return self._session.read(read)

    def _current(self, query: sa.Select[Any]) -> sa.Select[Any]:
        """Make a query read what is there now, also in a transaction of the caller that began earlier."""
        if self._dialect.needs_locking_reads and self._session.is_in_external_transaction:
            return query.with_for_update(read=True)
        return query

    # ------------------------------------------------------------------ writing

    def _commit(
        self, checks: Sequence[Check], puts: Sequence[Put], deletes: Sequence[str], lease: str | None
    ) -> int:
        if self._database.is_server:
            for put in puts:
                self._database.check_size(f"the value under '{put.key}'", put.value)
        # The answer of a server may be lost: by its token, a commit that was applied is found again.
        token = uuid.uuid4().hex if self._database.is_server else ""

        return self._session.commit(Commit(checks, puts, deletes, lease, token))

    def _grant(self, lease: Lease) -> Lease:
        def work(transaction: WriteTransaction) -> None:
            # A first attempt may have been applied although its answer was lost.
            if not transaction.lease_is_live:
                row = {"id": lease.id, "until": transaction.now + lease.ttl}
                transaction.execute(tables.INSERT_LEASE, [row])

        self._session.write(work, WriteRequest(lease=lease.id, names=[lease.id]))
        return lease

    def _extend(self, lease: Lease) -> bool:
        def values() -> Mapping[str, Any]:
            now = self._session.now()
            return {"lease": lease.id, "now": now, "later": now + lease.ttl}

        return bool(self._session.update(tables.EXTEND_LEASE, values))

    def _revoke(self, lease: Lease) -> None:
        self._session.write(lambda transaction: transaction.delete_lease(lease.id))

    # ------------------------------------------------------------------ waiting

    def _wait(self, prefix: str, since: int, timeout: float | None) -> int:
        commits = self._dialect.commits
        if since == 0:
            return self._session.read(commits.current_mark)
        watch = self._watches.take(prefix, since)
        if watch is None:
            watch = Watch(prefix, since, self._dialect.waiter(tag_of(root_of(prefix))), commits)
        try:
            return watch.wait(timeout, self._observe, self._session.now, self._delete_expired)
        finally:
            self._watches.give_back(watch)

    def _observe(self, prefix: str, position: Any) -> Observation:
        return self._session.read(
            lambda connection: self._dialect.commits.observe(connection, prefix, position)
        )

    def _delete_expired(self) -> None:
        self._session.write(lambda _: None)
