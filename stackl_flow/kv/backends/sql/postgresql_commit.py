"""PostgreSQL: a whole commit in one round trip, in libpq's pipeline mode.

The statements that begin the transaction, lock, write and commit are sent together, and the one that notifies
waiters after them. So their results cannot be checked in between: the statement that writes checks the
preconditions itself, writes nothing unless they hold, and returns what it found.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from stackl_flow.kv.backends.sql import tables
from stackl_flow.kv.backends.sql.commit_order import LOCK_KEYS, SEED
from stackl_flow.kv.backends.sql.transaction import Commit, WholeCommit
from stackl_flow.kv.items import PRESENT

if TYPE_CHECKING:
    from stackl_flow.databases.postgresql import PostgreSQL  # which needs its driver

#: What a row is about, beside those of `tables.ALL_PRECONDITIONS`.
_COMMITTED: Final = "committed"

_EXPIRED, _LIVE, _APPLIED, _VERSION = (
    tables.EXPIRED_LEASE,
    tables.LIVE_LEASE,
    tables.APPLIED,
    tables.VERSION,
)
_FOUND: Final = (
    f"SELECT '{_EXPIRED}' AS about, id AS name, 0::bigint AS version"  # noqa: S608  constants
    " FROM kv_leases WHERE until <= :now"
    f" UNION ALL SELECT '{_LIVE}', id, 0 FROM kv_leases WHERE id = :lease AND until > :now"
    f" UNION ALL SELECT '{_APPLIED}', token, version FROM kv_commits WHERE token = :token"
    f" UNION ALL SELECT '{_VERSION}', key, version FROM kv_items AS item"
    " WHERE key = ANY (:checked) AND (lease IS NULL OR EXISTS"
    " (SELECT 1 FROM kv_leases WHERE kv_leases.id = item.lease AND until > :now))"
)
_WRITE: Final = (
    f"WITH found AS MATERIALIZED ({_FOUND}),"  # noqa: S608  constants
    " counted AS (INSERT INTO kv_commits (token, version, xid)"
    " SELECT :token, nextval('kv_versions'), pg_current_xact_id()"
    f" WHERE NOT EXISTS (SELECT 1 FROM found WHERE about IN ('{_EXPIRED}', '{_APPLIED}'))"
    f" AND (:lease = '' OR EXISTS (SELECT 1 FROM found WHERE about = '{_LIVE}'))"
    " AND NOT EXISTS (SELECT 1"
    " FROM unnest(:checked, :wanted) AS wanted (key, version)"
    f" LEFT JOIN found ON about = '{_VERSION}' AND name = wanted.key"
    f" WHERE CASE wanted.version WHEN {PRESENT} THEN found.version IS NULL"
    " ELSE coalesce(found.version, 0) <> wanted.version END) RETURNING version),"
    " removed AS (DELETE FROM kv_items USING counted WHERE key = ANY (:deletes) RETURNING key),"
    " recorded AS (INSERT INTO kv_deletions (version, key) SELECT version, key FROM counted, removed),"
    " written AS (INSERT INTO kv_items (key, value, version, lease)"
    " SELECT new.key, new.value, version, new.lease FROM counted,"
    " unnest(:keys, :values, :leases) AS new (key, value, lease)"
    " ON CONFLICT (key) DO UPDATE"
    " SET value = excluded.value, version = excluded.version, lease = excluded.lease)"
    f" SELECT about, name, version FROM found UNION ALL SELECT '{_COMMITTED}', '', version FROM counted"
)
# A transaction of its own: notifying inside of the other one would hold a lock until that is on disk.
_NOTIFY: Final = (
    "SELECT pg_notify(channel, '') FROM unnest(:channels) AS channel"
    " WHERE EXISTS (SELECT 1 FROM kv_commits WHERE token = :token)"
)
_TYPES: Final = {
    "lease": "text",
    "token": "text",
    "now": "float8",
    "seed": "bigint",
    "wanted": "bigint[]",
    **dict.fromkeys(("names", "checked", "deletes", "keys", "values", "leases", "channels"), "text[]"),
}


class _Statement:
    """A statement with libpq's parameters, and the names of its values in that order."""

    def __init__(self, text: str) -> None:
        self.names = tuple(dict.fromkeys(re.findall(r"(?<!:):(\w+)", text)))
        self.text = re.sub(
            r"(?<!:):(\w+)", lambda found: f"${self.names.index(found[1]) + 1}::{_TYPES[found[1]]}", text
        )

    def of(self, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
        return self.text, [values[name] for name in self.names]


_STATEMENTS: Final = tuple(map(_Statement, (LOCK_KEYS, _WRITE, _NOTIFY)))


class PipelinedCommit(WholeCommit):
    """A commit that is sent as a whole, and what the server answered.

    Args:
        database: the database.
        commit: what is checked and written.
        channels: what to notify if it is committed.
    """

    notifies = True

    def __init__(self, database: PostgreSQL, commit: Commit, channels: Sequence[str]) -> None:
        super().__init__()
        request = commit.request
        self._database = database
        self._values: dict[str, Any] = {
            "lease": request.lease,
            "token": request.token,
            "names": request.names,
            "checked": [check.key for check in commit.checks],
            "wanted": [check.version for check in commit.checks],
            "deletes": list(commit.deletes),
            "keys": [put.key for put in commit.puts],
            "values": [put.value for put in commit.puts],
            "leases": [put.lease for put in commit.puts],
            "channels": channels,
            "seed": SEED,
        }

    def send(self, raw: Any, now: float, *, inside: bool = False) -> None:
        values = self._values
        values["now"] = now
        lock, write, notify = (statement.of(values) for statement in _STATEMENTS)
        if inside:
            for row in self._database.pipelined_query(raw, [lock, write]):
                self.read(*row)
            return
        begin = [(statement, None) for statement in self._database.begin_write]
        batch = [*begin, lock, write, ("COMMIT", None), notify]
        *_, found, committed, _ = self._database.execute_together(raw, batch)
        # After the commit it must not look failed because waiters were not notified: they also poll.
        if isinstance(committed, Exception):
            raise committed
        if not isinstance(found, Exception):
            for about, name, version in found:
                self.read(about, name, int(version))
