"""The tables of a key-value store, and the statements on them.

``kv_state`` has one row: the format of the tables and the count of commits. Every commit first increments
that count, so that commits are serialized and a waiter sees by one number whether anything was committed
(PostgreSQL commits concurrently, see `commit_order`). Deleted keys are kept for a while in ``kv_deletions``,
so that a waiter sees them, and commits in ``kv_commits``, so that one whose answer was lost is found again.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from stackl_flow.kv.items import MAX_KEY
from stackl_flow.kv.ordered import prefix_end

#: The format of the tables that this code writes.
FORMAT: Final = 3
#: For how many commits a deletion is kept; a waiter that is further behind reads everything again.
RETAINED_COMMITS: Final = 4096

metadata: Final = sa.MetaData()


# Keys are compared byte by byte. SQLite does that by default; MariaDB by default treats "a" and "A" as equal.
def _ascii(length: int) -> sa.String:
    plain = sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
    return plain.with_variant(mysql.VARCHAR(length, charset="ascii", collation="ascii_bin"), "mysql")


_KEY: Final = _ascii(MAX_KEY)
_LEASE: Final = _ascii(64)
_TOKEN: Final = _ascii(32)
_VALUE: Final = sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql")

state: Final = sa.Table(
    "kv_state",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("format", sa.Integer, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
)
items: Final = sa.Table(
    "kv_items",
    metadata,
    sa.Column("key", _KEY, primary_key=True),
    sa.Column("value", _VALUE, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False, index=True),
    sa.Column("lease", _LEASE, index=True),
)
leases: Final = sa.Table(
    "kv_leases",
    metadata,
    sa.Column("id", _LEASE, primary_key=True),
    sa.Column("until", sa.Double, nullable=False, index=True),
)
deletions: Final = sa.Table(
    "kv_deletions",
    metadata,
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key", _KEY, primary_key=True),
)
commits: Final = sa.Table(
    "kv_commits",
    metadata,
    sa.Column("token", _TOKEN, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False, index=True),
)

#: In a file, the time scale by which its leases expire; not one of the tables that every store has.
lease_time: Final = sa.Table(
    "kv_lease_time",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("boot", sa.Text, nullable=False),
    sa.Column("base", sa.Double, nullable=False),
)
SELECT_LEASE_TIME: Final = sa.select(lease_time.c.boot, lease_time.c.base)

#: Tables that earlier formats had under other names.
_RENAMED: Final = {"kv_gone": deletions.name, "kv_receipts": commits.name}


def rename_old_tables(connection: sa.Connection) -> None:
    """Rename the tables of formats 1 and 2."""
    names = set(sa.inspect(connection).get_table_names())
    for old, new in _RENAMED.items():
        if old in names:
            connection.execute(sa.text(f"ALTER TABLE {old} RENAME TO {new}"))


_NOW: Final = sa.bindparam("now", type_=sa.Double)
# EXISTS, because no database uses an index for it in an OR: items are read in the order of their keys.
_is_alive: Final = items.c.lease.is_(None) | sa.exists().where(
    leases.c.id == items.c.lease, leases.c.until > _NOW
)
_in_keys: Final = items.c.key.in_(sa.bindparam("keys", expanding=True))

SELECT_STATE: Final = sa.select(state.c.format, state.c.revision)
INCREMENT_REVISION: Final = sa.update(state).values(revision=state.c.revision + 1).returning(state.c.revision)
SELECT_ITEM: Final = sa.select(items).where(items.c.key == sa.bindparam("key"), _is_alive)
SELECT_ITEMS: Final = sa.select(items).where(_in_keys, _is_alive)
SELECT_STORED_KEYS: Final = sa.select(items.c.key).where(_in_keys)
DELETE_ITEMS: Final = sa.delete(items).where(_in_keys)
INSERT_DELETION: Final = sa.insert(deletions)
TRIM: Final = tuple(
    sa.delete(table).where(table.c.version < sa.bindparam("before")) for table in (deletions, commits)
)
INSERT_COMMIT: Final = sa.insert(commits)
LAST_EXPIRY: Final = sa.select(sa.func.max(leases.c.until))
INSERT_LEASE: Final = sa.insert(leases)
EXTEND_LEASE: Final = (
    sa.update(leases)
    .where(leases.c.id == sa.bindparam("lease"), leases.c.until > _NOW)
    .values(until=sa.bindparam("later", type_=sa.Double))
)
DELETE_LEASE: Final = sa.delete(leases).where(leases.c.id == sa.bindparam("lease"))
SELECT_LEASE_KEYS: Final = sa.select(items.c.key).where(items.c.lease == sa.bindparam("lease"))

# What a writer reads before it writes, in one query: the first column of each row says what the row is about.
EXPIRED_LEASE, LIVE_LEASE, APPLIED, VERSION = "expired", "live", "applied", "version"
PRECONDITIONS: Final = (
    sa.select(sa.literal(EXPIRED_LEASE), leases.c.id, sa.literal(0)).where(leases.c.until <= _NOW),
    sa.select(sa.literal(LIVE_LEASE), leases.c.id, sa.literal(0)).where(
        leases.c.id == sa.bindparam("lease"), leases.c.until > _NOW
    ),
    sa.select(sa.literal(APPLIED), commits.c.token, commits.c.version).where(
        commits.c.token == sa.bindparam("token")
    ),
    sa.select(sa.literal(VERSION), items.c.key, items.c.version).where(_in_keys, _is_alive),
)
ALL_PRECONDITIONS: Final = sa.union_all(*PRECONDITIONS)


@cache
def upsert(dialect: str) -> sa.Executable:
    """Return the statement that writes items, whether they exist or not.

    Args:
        dialect: name of SQLAlchemy's dialect.
    """
    written = ("value", "version", "lease")
    statement: sa.Executable
    if dialect == "mysql":
        over = mysql.insert(items)
        statement = over.on_duplicate_key_update({name: over.inserted[name] for name in written})
        return statement
    new: Any = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}[dialect](items)
    statement = new.on_conflict_do_update(
        index_elements=[items.c.key], set_={name: new.excluded[name] for name in written}
    )
    return statement


@cache
def select_range(*, prefix: bool, after: bool, limit: bool, reverse: bool) -> sa.Select[Any]:
    """Return the query for items in the order of their keys; it takes values for these names and for "now".

    Args:
        prefix: only keys from "low" up to "high".
        after: only keys after "after", in reverse before it.
        limit: at most "limit" items.
        reverse: the last key first.
    """
    key = items.c.key
    query = sa.select(items).where(_is_alive)
    if prefix:
        query = query.where(key >= sa.bindparam("low"), key < sa.bindparam("high"))
    if after:
        query = query.where(key < sa.bindparam("after") if reverse else key > sa.bindparam("after"))
    query = query.order_by(key.desc() if reverse else key)
    return query.limit(sa.bindparam("limit", type_=sa.Integer)) if limit else query


def prefix_bounds(prefix: str) -> dict[str, str]:
    """Return the values "low" and "high" for keys with a prefix; none if the prefix is empty."""
    return {"low": prefix, "high": prefix_end(prefix)} if prefix else {}


@cache
def observe(*, prefix: bool) -> sa.Select[Any]:
    """Return the query for the count of commits, the next expiry of a lease, and whether items have changed.

    They have if there are some that were put, or deleted, after the revision "since".

    Args:
        prefix: only keys from "low" up to "high".
    """
    changes = []
    for table in (items, deletions):
        query = sa.exists().where(table.c.version > sa.bindparam("since"))
        if prefix:
            query = query.where(table.c.key >= sa.bindparam("low"), table.c.key < sa.bindparam("high"))
        changes.append(query)
    next_expiry = sa.select(sa.func.min(leases.c.until)).scalar_subquery()
    return sa.select(state.c.revision, next_expiry.label("next_expiry"), sa.or_(*changes).label("changed"))
