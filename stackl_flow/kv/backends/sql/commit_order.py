"""In which order commits are applied, what a waiter sees of them, and how deletions are remembered.

By default commits are serialized by a counter in one row, which every commit increments. PostgreSQL commits
concurrently, and only commits that share a key wait for each other:

* A commit locks all keys that it checks, puts or deletes: the existing rows in the order of their keys, and
  then every key itself by an advisory lock, so that missing items stay missing. No transaction waits for a
  row while it holds advisory locks, so there are no deadlocks. Readers that take items for themselves skip
  locked rows (SKIP LOCKED).
* Versions come from a sequence after the locks are granted, so the versions of one item grow. Commits do not
  become visible in that order, so a number cannot answer "what changed since". A mark stands for a snapshot
  of the server instead, and what changed is what that snapshot does not see. ``kv_commits`` has the
  transaction id of each commit for this.
"""

from __future__ import annotations

import itertools
import threading
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from stackl_flow.kv.backends.sql import tables
from stackl_flow.kv.items import Put


class WriteRequest(NamedTuple):
    """What a writer reads before it writes, and what no other transaction may write until it commits.

    Attributes:
        keys: keys whose versions are read.
        lease: the lease that must be live; empty for none.
        token: identifies the commit when its answer is lost; empty for none.
        names: all keys and leases to lock.
    """

    keys: Sequence[str] = ()
    lease: str = ""
    token: str = ""
    names: Sequence[str] = ()


class Observation(NamedTuple):
    """What a waiter sees.

    Attributes:
        position: up to where it has looked.
        next_expiry: when the next lease expires; None for never.
        changed: whether something may have changed since the position before.
    """

    position: Any
    next_expiry: float | None
    changed: bool


class SerializedCommits:
    """Commits one after another."""

    def lock(self, connection: sa.Connection, request: WriteRequest, *, external: bool) -> None:
        """Keep other transactions from writing until this one ends, if its first write would not do that.

        Args:
            connection: the connection, in a transaction.
            request: what is to be read and written.
            external: whether the transaction is the caller's.
        """

    def next_version(self, connection: sa.Connection, token: str) -> int:
        """Count a commit.

        Args:
            connection: the connection, in a transaction.
            token: identifies the commit when its answer is lost; empty for none.

        Returns:
            The version of its items, greater than that of any other commit of the same items.
        """
        version = int(connection.execute(tables.INCREMENT_REVISION).scalar_one())
        self._record(connection, token, version)
        return version

    def _record(self, connection: sa.Connection, token: str, version: int) -> None:
        if token:
            connection.execute(tables.INSERT_COMMIT, [{"token": token, "version": version}])

    def write_all(
        self,
        connection: sa.Connection,  # noqa: ARG002  databases differ
        token: str,  # noqa: ARG002
        puts: Sequence[Put],  # noqa: ARG002
        deletes: Sequence[str],  # noqa: ARG002
    ) -> int | None:
        """Count a commit and write all of it by one statement, if the database can.

        Returns:
            The version of its items; None if nothing was done.
        """
        return None

    def delete(self, connection: sa.Connection, version: int, keys: Sequence[str]) -> None:
        """Delete items, and record that as of a version."""
        stored = connection.execute(tables.SELECT_STORED_KEYS, {"keys": keys}).scalars().all()
        if stored:
            connection.execute(tables.INSERT_DELETION, [{"version": version, "key": key} for key in stored])
            connection.execute(tables.DELETE_ITEMS, {"keys": stored})

    def claim_expired(self, connection: sa.Connection, leases: Sequence[str], now: float) -> Sequence[str]:  # noqa: ARG002  databases differ
        """Return those of the expired leases that no other transaction is deleting."""
        return leases

    def current_mark(self, connection: sa.Connection) -> int:
        """Return a mark of what is stored now."""
        return int(connection.execute(tables.SELECT_STATE).one().revision)

    def position_of(self, mark: int) -> Any:
        """Return the position that a mark stands for."""
        return mark

    def mark_of(self, position: Any) -> int:
        """Return a mark of a position."""
        return int(position)

    def observe(self, connection: sa.Connection, prefix: str, position: Any) -> Observation:
        """Check, by one query, whether items with a prefix have changed since a position."""
        values = {"since": position, **tables.prefix_bounds(prefix)}
        row = connection.execute(tables.observe(prefix=bool(prefix)), values).one()
        changed = row.revision < position or row.revision - position > tables.RETAINED_COMMITS
        return Observation(row.revision, row.next_expiry, bool(changed or row.changed))


#: A write that changes nothing. Its result shows whether there is a transaction, which that of a query does
#: not.
_LOCK_STATE: Final = sa.text("UPDATE kv_state SET revision = revision")


class SQLiteCommits(SerializedCommits):
    """Commits one after another, because SQLite has one writer; our own transactions begin as writers."""

    def lock(self, connection: sa.Connection, request: WriteRequest, *, external: bool) -> None:  # noqa: ARG002  everything
        """Become the one writer, in a transaction of the caller that may have begun by reading."""
        if external:
            connection.execute(_LOCK_STATE)


class MySQLCommits(SerializedCommits):
    """Commits one after another, by a lock on the row of the counter."""

    _INCREMENT: Final = sa.text("UPDATE kv_state SET revision = LAST_INSERT_ID(revision + 1)")

    def lock(self, connection: sa.Connection, request: WriteRequest, *, external: bool) -> None:  # noqa: ARG002  everything
        """Lock the row of the counter."""
        connection.execute(_LOCK_STATE)

    def next_version(self, connection: sa.Connection, token: str) -> int:
        """Count a commit; there is no RETURNING."""
        version = int(connection.execute(self._INCREMENT).lastrowid)
        self._record(connection, token, version)
        return version


# ---------------------------------------------------------------------- PostgreSQL

#: Seed of the hashes of keys, so that they hardly meet the advisory locks of other programs.
SEED: Final = 6_712_940_385
#: How many marks are remembered; a waiter whose mark is forgotten reads everything again.
_MAX_MARKS: Final = 1_000

#: What PostgreSQL needs besides the tables. Formats 1 and 2 had other names for an index.
CREATE: Final = (
    "ALTER INDEX IF EXISTS ix_kv_receipts_xid RENAME TO ix_kv_commits_xid",
    "ALTER TABLE kv_commits ADD COLUMN IF NOT EXISTS xid xid8",
    "CREATE INDEX IF NOT EXISTS ix_kv_commits_xid ON kv_commits (xid)",
    "CREATE SEQUENCE IF NOT EXISTS kv_versions",
    "SELECT setval('kv_versions', GREATEST(:revision, (SELECT last_value FROM kv_versions)))",
)
# The WITH parts run first, because their counts are needed before any advisory lock is taken.
LOCK_KEYS: Final = (
    "WITH locked_lease AS MATERIALIZED (SELECT 1 FROM kv_leases WHERE id = :lease FOR KEY SHARE),"
    " locked_items AS MATERIALIZED ("
    "SELECT 1 FROM kv_items WHERE key = ANY (CAST(:names AS text[])) ORDER BY key FOR UPDATE)"
    " SELECT pg_advisory_xact_lock(hash) FROM ("
    "SELECT DISTINCT hashtextextended(name, :seed) AS hash"
    " FROM unnest(CAST(:names AS text[])) AS name ORDER BY hash) AS hashes"
    " WHERE (SELECT count(*) FROM locked_lease) + (SELECT count(*) FROM locked_items) >= 0"
)
_LOCK: Final = sa.text(LOCK_KEYS).bindparams(seed=SEED)
_COUNT: Final = sa.text(
    "INSERT INTO kv_commits (token, version, xid)"
    " VALUES (:token, nextval('kv_versions'), pg_current_xact_id()) RETURNING version"
)
_DELETE: Final = sa.text(
    "WITH removed AS (DELETE FROM kv_items WHERE key = ANY (CAST(:keys AS text[])) RETURNING key)"
    " INSERT INTO kv_deletions (version, key) SELECT :version, key FROM removed"
)
_WRITE_ALL: Final = sa.text(
    "WITH counted AS (INSERT INTO kv_commits (token, version, xid)"
    " VALUES (:token, nextval('kv_versions'), pg_current_xact_id()) RETURNING version),"
    " removed AS (DELETE FROM kv_items WHERE key = ANY (CAST(:deletes AS text[])) RETURNING key),"
    " recorded AS (INSERT INTO kv_deletions (version, key) SELECT version, key FROM counted, removed),"
    " written AS (INSERT INTO kv_items (key, value, version, lease)"
    " SELECT new.key, new.value, version, new.lease FROM counted,"
    " unnest(CAST(:keys AS text[]), CAST(:values AS text[]), CAST(:leases AS text[]))"
    " AS new (key, value, lease)"
    " ON CONFLICT (key) DO UPDATE"
    " SET value = excluded.value, version = excluded.version, lease = excluded.lease)"
    " SELECT version FROM counted"
)
_CLAIM_EXPIRED: Final = sa.text(
    "SELECT id FROM kv_leases WHERE id = ANY (CAST(:leases AS text[])) AND until <= :now"
    " FOR UPDATE SKIP LOCKED"
)
_SNAPSHOT: Final = sa.text("SELECT pg_current_snapshot()::text, (SELECT last_value FROM kv_versions)")
_CHANGED: Final = (
    "(SELECT 1 FROM kv_commits AS c JOIN TABLE AS t ON t.version = c.version"
    " WHERE c.xid >= pg_snapshot_xmin(CAST(:seen AS pg_snapshot))"
    " AND NOT pg_visible_in_snapshot(c.xid, CAST(:seen AS pg_snapshot)) WITHIN)"
)


@cache
def _select_changed(*, prefix: bool) -> sa.TextClause:
    """Return the query for a new snapshot, and whether anything became visible since an earlier one."""
    within = "AND key >= :low AND key < :high" if prefix else ""
    items, deletions = (
        _CHANGED.replace("TABLE", table).replace("WITHIN", within) for table in ("kv_items", "kv_deletions")
    )
    return sa.text(
        "SELECT pg_current_snapshot()::text, (SELECT last_value FROM kv_versions),"  # noqa: S608  constants
        f" (SELECT min(until) FROM kv_leases), EXISTS {items} OR EXISTS {deletions}"
    )


class ConcurrentCommits(SerializedCommits):
    """Commits that wait for each other only if they share a key."""

    def __init__(self) -> None:
        # Marks: numbers that stand for a snapshot and the last version at that time.
        self._marks: OrderedDict[int, tuple[str, int]] = OrderedDict()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def lock(self, connection: sa.Connection, request: WriteRequest, *, external: bool) -> None:  # noqa: ARG002  the same for both
        """Lock the keys and the lease of a request."""
        if request.names or request.lease:
            connection.execute(_LOCK, {"names": list(request.names), "lease": request.lease})

    def next_version(self, connection: sa.Connection, token: str) -> int:
        """Count a commit, and record its transaction."""
        return int(connection.execute(_COUNT, {"token": token or uuid.uuid4().hex}).scalar_one())

    def write_all(
        self, connection: sa.Connection, token: str, puts: Sequence[Put], deletes: Sequence[str]
    ) -> int | None:
        """Count a commit and write all of it by one statement."""
        keys, values, leases = zip(*puts, strict=True) if puts else ((), (), ())
        parameters: dict[str, Any] = {"keys": list(keys), "values": list(values), "leases": list(leases)}
        parameters.update(token=token, deletes=list(deletes))
        return int(connection.execute(_WRITE_ALL, parameters).scalar_one())

    def delete(self, connection: sa.Connection, version: int, keys: Sequence[str]) -> None:
        """Delete items, and record that as of a version."""
        connection.execute(_DELETE, {"version": version, "keys": list(keys)})

    def claim_expired(self, connection: sa.Connection, leases: Sequence[str], now: float) -> Sequence[str]:
        """Return those of the expired leases that no other transaction is deleting, and lock them."""
        return connection.execute(_CLAIM_EXPIRED, {"leases": list(leases), "now": now}).scalars().all()

    def current_mark(self, connection: sa.Connection) -> int:
        """Return a mark of what is visible now."""
        snapshot, last = connection.execute(_SNAPSHOT).one()
        return self._add_mark(snapshot, last)

    def position_of(self, mark: int) -> Any:
        """Return the snapshot, and the last version at that time, that a mark stands for."""
        with self._lock:
            return self._marks.get(mark, ("1:1:", 0))

    def mark_of(self, position: Any) -> int:
        """Return a new mark."""
        return self._add_mark(*position)

    def observe(self, connection: sa.Connection, prefix: str, position: Any) -> Observation:
        """Check, by one query, whether items became visible, or were deleted, since a position."""
        seen, last = position
        values: dict[str, Any] = {"seen": seen, **tables.prefix_bounds(prefix)}
        row = connection.execute(_select_changed(prefix=bool(prefix)), values).one()
        snapshot, latest, next_expiry, changed = row
        return Observation(
            (snapshot, latest), next_expiry, bool(changed or latest - last > tables.RETAINED_COMMITS)
        )

    def _add_mark(self, snapshot: str, last: int) -> int:
        with self._lock:
            mark = next(self._numbers)
            self._marks[mark] = (snapshot, last)
            if len(self._marks) > _MAX_MARKS:
                self._marks.popitem(last=False)
            return mark
