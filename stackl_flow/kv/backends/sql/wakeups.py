"""Commits side by side, as PostgreSQL can do it: only those that share an item wait for each other.

A commit locks the names of all that it checks, puts or deletes: the rows that are there, in the order of
their keys, and then every name itself (an advisory lock), so that what is not there stays so. Nobody waits
for a row while he has names locked, so two never wait for each other. Who takes what nobody else has skips
the rows that are locked (SKIP LOCKED).

Versions come from a sequence, after the locks are had: those of one item grow. They do not come into sight
in that order, so "what changed since" cannot be asked by a number: a mark stands for a snapshot of the
server's, and what has changed is what was not to be seen in it. ``kv_receipts`` keeps for each commit the
transaction that made it.

Listens to what PostgreSQL notifies, for all who wait in a process.

Wakes threads of one process: whatever comes after somebody began to wait is not lost.
"""

from __future__ import annotations

import itertools
import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

import sqlalchemy as sa

from stackl_flow.kv.backends.sql import tables
from stackl_flow.kv.backends.sql.order import Asked, Order, Seen
from stackl_flow.kv.items import Put

#: Seed of the hashes of names, so that they are hardly anybody else's advisory locks.
_SEED: Final = 6_712_940_385
#: How many marks an object remembers; one that is forgotten only lets its waiter look anew.
_MARKS: Final = 1_000

MAKE: Final = (
    "ALTER TABLE kv_receipts ADD COLUMN IF NOT EXISTS xid xid8",
    "CREATE INDEX IF NOT EXISTS ix_kv_receipts_xid ON kv_receipts (xid)",
    "CREATE SEQUENCE IF NOT EXISTS kv_versions",
    "SELECT setval('kv_versions', :revision)",
)
# What stands in WITH is done first, because the counts of it are asked for before any name is locked.
LOCK: Final = sa.text(
    "WITH lent AS MATERIALIZED (SELECT 1 FROM kv_leases WHERE id = :lease FOR KEY SHARE),"
    " held AS MATERIALIZED ("
    "SELECT 1 FROM kv_items WHERE key = ANY (CAST(:names AS text[])) ORDER BY key FOR UPDATE)"
    " SELECT pg_advisory_xact_lock(hash) FROM ("
    "SELECT DISTINCT hashtextextended(name, :seed) AS hash"
    " FROM unnest(CAST(:names AS text[])) AS name ORDER BY hash) AS hashes"
    " WHERE (SELECT count(*) FROM lent) + (SELECT count(*) FROM held) >= 0"
).bindparams(seed=_SEED)
COUNT: Final = sa.text(
    "INSERT INTO kv_receipts (token, version, xid)"
    " VALUES (:token, nextval('kv_versions'), pg_current_xact_id()) RETURNING version"
)
REMOVE: Final = sa.text(
    "WITH removed AS (DELETE FROM kv_items WHERE key = ANY (CAST(:keys AS text[])) RETURNING key)"
    " INSERT INTO kv_gone (version, key) SELECT :version, key FROM removed"
)
WRITE: Final = sa.text(
    "WITH counted AS (INSERT INTO kv_receipts (token, version, xid)"
    " VALUES (:token, nextval('kv_versions'), pg_current_xact_id()) RETURNING version),"
    " removed AS (DELETE FROM kv_items WHERE key = ANY (CAST(:deletes AS text[])) RETURNING key),"
    " gone AS (INSERT INTO kv_gone (version, key) SELECT version, key FROM counted, removed),"
    " written AS (INSERT INTO kv_items (key, value, version, lease)"
    " SELECT new.key, new.value, version, new.lease FROM counted,"
    " unnest(CAST(:keys AS text[]), CAST(:values AS text[]), CAST(:leases AS text[]))"
    " AS new (key, value, lease)"
    " ON CONFLICT (key) DO UPDATE"
    " SET value = excluded.value, version = excluded.version, lease = excluded.lease)"
    " SELECT version FROM counted"
)
ENDED: Final = sa.text(
    "SELECT id FROM kv_leases WHERE id = ANY (CAST(:leases AS text[])) AND until <= :now"
    " FOR UPDATE SKIP LOCKED"
)
_FIRST: Final = sa.text("SELECT pg_current_snapshot()::text, (SELECT last_value FROM kv_versions)")
_NEW: Final = (
    "(SELECT 1 FROM kv_receipts AS r JOIN TABLE AS t ON t.version = r.version"
    " WHERE r.xid >= pg_snapshot_xmin(CAST(:seen AS pg_snapshot))"
    " AND NOT pg_visible_in_snapshot(r.xid, CAST(:seen AS pg_snapshot)) WITHIN)"
)


@cache
def _changed(*, prefix: bool) -> sa.TextClause:
    """Make the question for a new snapshot, and whether anything came into sight since another."""
    within = "AND key >= :low AND key < :high" if prefix else ""
    items, gone = (
        _NEW.replace("TABLE", table).replace("WITHIN", within) for table in ("kv_items", "kv_gone")
    )
    return sa.text(
        "SELECT pg_current_snapshot()::text, (SELECT last_value FROM kv_versions),"  # noqa: S608  constants
        f" (SELECT min(until) FROM kv_leases), EXISTS {items} OR EXISTS {gone}"
    )


class Marks:
    """Snapshots of the server's under numbers, which a waiter can carry."""

    def __init__(self) -> None:
        self._seen: OrderedDict[int, tuple[str, int]] = OrderedDict()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def first(self, connection: sa.Connection) -> int:
        """Mark what is there now.

        Args:
            connection: the connection.

        Returns:
            The mark.
        """
        snapshot, last = connection.execute(_FIRST).one()
        return self._add(snapshot, last)

    def look(self, connection: sa.Connection, prefix: str, since: int) -> Seen:
        """See whether items have come into sight, or gone out of it, since a mark.

        Args:
            connection: the connection.
            prefix: items whose keys begin so.
            since: the mark.

        Returns:
            What is seen; with the same mark if nothing changed.
        """
        with self._lock:
            seen, last = self._seen.get(since, ("1:1:", 0))
        asked: dict[str, Any] = {"seen": seen, **tables.bounds(prefix)}
        snapshot, latest, runs_out, changed = connection.execute(_changed(prefix=bool(prefix)), asked).one()
        if changed or latest - last > tables.REMEMBERED:
            return Seen(self._add(snapshot, latest), runs_out)
        return Seen(since, runs_out)

    def _add(self, snapshot: str, last: int) -> int:
        with self._lock:
            mark = next(self._numbers)
            self._seen[mark] = (snapshot, last)
            if len(self._seen) > _MARKS:
                self._seen.popitem(last=False)
            return mark


class SideBySide(Order):
    """Commits that wait for each other only if they share an item."""

    def __init__(self) -> None:
        self._marks = Marks()

    def lock(self, connection: sa.Connection, asked: Asked, *, joined: bool) -> None:  # noqa: ARG002  both the same
        """Keep others from writing what is to be looked at or written, until a transaction ends.

        Args:
            connection: the connection, in a transaction.
            asked: what that is.
            joined: whether the transaction is the caller's own.
        """
        if asked.names or asked.lease:
            connection.execute(LOCK, {"names": list(asked.names), "lease": asked.lease})

    def count(self, connection: sa.Connection, token: str) -> int:
        """Count a commit, and note which transaction it was.

        Args:
            connection: the connection, in a transaction.
            token: what the commit is to be known by when its answer is lost; empty for nothing.

        Returns:
            The version of all that is put in it.
        """
        return int(connection.execute(COUNT, {"token": token or uuid.uuid4().hex}).scalar_one())

    def at_once(
        self, connection: sa.Connection, token: str, puts: Sequence[Put], deletes: Sequence[str]
    ) -> int | None:
        """Count a commit and write all of it by one statement.

        Args:
            connection: the connection, in a transaction.
            token: what the commit is to be known by when its answer is lost.
            puts: the items to write.
            deletes: the keys to delete.

        Returns:
            The version of all that is put in it.
        """
        keys, values, leases = zip(*puts, strict=True) if puts else ((), (), ())
        asked: dict[str, Any] = {"keys": list(keys), "values": list(values), "leases": list(leases)}
        asked.update(token=token, deletes=list(deletes))
        return int(connection.execute(WRITE, asked).scalar_one())

    def remove(self, connection: sa.Connection, version: int, keys: Sequence[str]) -> None:
        """Delete items, and remember that.

        Args:
            connection: the connection, in a transaction.
            version: that of the commit.
            keys: their keys.
        """
        connection.execute(REMOVE, {"version": version, "keys": list(keys)})

    def ended(self, connection: sa.Connection, leases: Sequence[str], now: float) -> Sequence[str]:
        """Take the leases that ran out from all others who would end them.

        Args:
            connection: the connection, in a transaction.
            leases: those that ran out.
            now: the time.

        Returns:
            Those that are ours to end.
        """
        return connection.execute(ENDED, {"leases": list(leases), "now": now}).scalars().all()

    def mark(self, connection: sa.Connection) -> int:
        """Mark what is there now.

        Args:
            connection: the connection.

        Returns:
            The mark.
        """
        return self._marks.first(connection)

    def look(self, connection: sa.Connection, prefix: str, since: int) -> Seen:
        """See whether items have changed.

        Args:
            connection: the connection.
            prefix: items whose keys begin so.
            since: the mark up to which they are known.

        Returns:
            What is seen; with the same mark if nothing changed.
        """
        return self._marks.look(connection, prefix, since)


class Rings:
    """Counts how often was rung."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    def ring(self) -> None:
        """Wake all who wait."""
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    @contextmanager
    def waiting(self) -> Iterator[Waiter]:
        """Begin to wait.

        Yields:
            What to wait at.
        """
        yield Waiter(self)

    def count(self) -> int:
        """Return how often was rung."""
        return self._count

    def later(self, count: int, seconds: float) -> int:
        """Wait until it was rung more often.

        Args:
            count: how often it was, as far as is known.
            seconds: how long to wait at most.

        Returns:
            How often it was rung now.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._count != count, seconds)
            return self._count


class Waiter:
    """One who waits.

    Args:
        rings: what for.
    """

    def __init__(self, rings: Rings) -> None:
        self._rings = rings
        self._count = rings.count()

    def wait(self, seconds: float) -> None:
        """Return when it was rung since the last time, or after that time.

        Args:
            seconds: how long at most.
        """
        self._count = self._rings.later(self._count, seconds)


#: Seconds between two looks whether to stop.
_LISTEN: Final = 0.5


class Listener(threading.Thread):
    """Listens on a channel, and wakes all who wait in this process.

    Args:
        engine: gives connections.
        channel: the channel's name.

    Attributes:
        rings: what they wait at.
        listening: set when the first connection listens.
    """

    def __init__(self, engine: sa.Engine, channel: str) -> None:
        super().__init__(name="stackl-flow-kv-listener", daemon=True)
        self.rings = Rings()
        self.listening = threading.Event()
        self._engine = engine
        self._channel = channel
        self._stopped = threading.Event()

    def run(self) -> None:
        """Listen until stopped; a connection that was lost is made again."""
        while not self._stopped.is_set():
            try:
                self._listen()
            except sa.exc.SQLAlchemyError:
                self._stopped.wait(_LISTEN)  # whoever waits looks for themselves meanwhile
            except Exception as error:
                if not isinstance(error, self._engine.dialect.loaded_dbapi.Error):
                    raise

    def _listen(self) -> None:
        held = self._engine.raw_connection()
        raw: Any = held.driver_connection
        held.detach()  # it is ours now, and not given back
        try:
            raw.autocommit = True
            raw.execute(f"LISTEN {self._channel}")
            self.listening.set()
            self.rings.ring()  # what was committed while nobody listened
            while not self._stopped.is_set():
                for _ in raw.notifies(timeout=_LISTEN, stop_after=1):
                    self.rings.ring()
        finally:
            raw.close()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self.join(2 * _LISTEN + 1)
