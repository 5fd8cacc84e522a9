"""SQLite: a whole commit by the driver; SQLAlchemy would take longer than SQLite itself."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow.kv.backends.sql import tables
from stackl_flow.kv.backends.sql.transaction import Commit, WholeCommit

#: Commits with more checks take several queries.
MAX_CHECKS: Final = 500

_INCREMENT: Final = "UPDATE kv_state SET revision = revision + 1 RETURNING revision"
_REMEMBER: Final = "INSERT INTO kv_deletions (version, key) SELECT ?, key FROM kv_items WHERE key = ?"
_DELETE: Final = "DELETE FROM kv_items WHERE key = ?"
_PUT: Final = (
    "INSERT INTO kv_items (key, value, lease, version) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE"
    " SET value = excluded.value, lease = excluded.lease, version = excluded.version"
)


@lru_cache(maxsize=64)
def _query(checks: int) -> str:
    """Return the query for the preconditions of a commit; it takes the time, the lease and so many keys."""
    keys = ", ".join(f"?{number}" for number in range(3, checks + 3))
    return (
        f"SELECT '{tables.EXPIRED_LEASE}', id, 0 FROM kv_leases WHERE until <= ?1"  # noqa: S608  constants
        f" UNION ALL SELECT '{tables.LIVE_LEASE}', id, 0 FROM kv_leases WHERE id = ?2 AND until > ?1"
        f" UNION ALL SELECT '{tables.VERSION}', key, version FROM kv_items WHERE key IN ({keys}) AND"
        " (lease IS NULL OR EXISTS (SELECT 1 FROM kv_leases WHERE id = kv_items.lease AND until > ?1))"
    )


class SQLiteCommit(WholeCommit):
    """A commit by the driver.

    Args:
        commit: what is checked and written.
    """

    def __init__(self, commit: Commit) -> None:
        super().__init__()
        self._commit = commit

    def send(self, raw: Any, now: float, *, inside: bool = False) -> None:
        cursor = raw.cursor()
        if inside:
            self.version = self._write(cursor, now)
            return
        cursor.execute("BEGIN IMMEDIATE")
        try:
            version = self._write(cursor, now)
            cursor.execute("COMMIT")
        except BaseException:
            if raw.in_transaction:
                cursor.execute("ROLLBACK")
            raise
        finally:
            cursor.close()
        self.version = version

    def _write(self, cursor: Any, now: float) -> int | None:
        commit = self._commit
        checked = [check.key for check in commit.checks]
        cursor.execute(_query(len(checked)), (now, commit.lease or "", *checked))
        self.versions = {}
        for row in cursor.fetchall():
            self.read(*row)
        if self.has_expired_leases:
            return None
        try:
            commit.check(self)
        except (exc.Conflict, exc.LeaseLost):
            return None
        version: int = cursor.execute(_INCREMENT).fetchall()[0][0]
        for key in commit.deletes:
            if cursor.execute(_REMEMBER, (version, key)).rowcount:
                cursor.execute(_DELETE, (key,))
        cursor.executemany(_PUT, [(key, value, lease, version) for key, value, lease in commit.puts])
        return version
