"""The tables of a place of items, and what is asked of them.

``kv_state`` has one row: the format and the count of commits. Every commit raises that count first, so that
commits come one after another, and a waiter sees by one number whether anything happened (PostgreSQL can do
better: see ``side_by_side``). Deleted keys are remembered for a while in ``kv_gone``, so that a waiter knows
whether it was one of his, and commits in ``kv_receipts``, so that one whose answer was lost is known again.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from stackl_flow.kv.items import MAX_KEY
from stackl_flow.kv.ordered import prefix_end

FORMAT: Final = 1
#: For how many commits a deletion is remembered; a waiter that was away longer looks anew.
REMEMBERED: Final = 4096

metadata: Final = sa.MetaData()


# Keys are compared byte by byte. SQLite does that as it comes; MariaDB as it comes takes "a" for "A".
def _name(length: int) -> sa.String:
    plain = sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")
    return plain.with_variant(mysql.VARCHAR(length, charset="ascii", collation="ascii_bin"), "mysql")


_KEY: Final = _name(MAX_KEY)
_LEASE: Final = _name(64)
_TOKEN: Final = _name(32)
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
gone: Final = sa.Table(
    "kv_gone",
    metadata,
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("key", _KEY, primary_key=True),
)
receipts: Final = sa.Table(
    "kv_receipts",
    metadata,
    sa.Column("token", _TOKEN, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False, index=True),
)

_NOW: Final = sa.bindparam("now", type_=sa.Double)
# EXISTS, because no database looks it up in an index beside "or": items are wanted in the order of keys.
_alive: Final = items.c.lease.is_(None) | sa.exists().where(
    leases.c.id == items.c.lease, leases.c.until > _NOW
)

READ_STATE: Final = sa.select(state.c.format, state.c.revision)
RAISE: Final = sa.update(state).values(revision=state.c.revision + 1).returning(state.c.revision)
READ_ONE: Final = sa.select(items).where(items.c.key == sa.bindparam("key"), _alive)
READ_SOME: Final = sa.select(items).where(items.c.key.in_(sa.bindparam("keys", expanding=True)), _alive)
STORED: Final = sa.select(items.c.key).where(items.c.key.in_(sa.bindparam("keys", expanding=True)))
REMOVE: Final = sa.delete(items).where(items.c.key.in_(sa.bindparam("keys", expanding=True)))
FORGET: Final = sa.insert(gone)
TRIM: Final = tuple(
    sa.delete(table).where(table.c.version < sa.bindparam("before")) for table in (gone, receipts)
)
RECEIPT: Final = sa.insert(receipts)
NEXT_END: Final = sa.select(sa.func.min(leases.c.until))
LEND: Final = sa.insert(leases)
EXTEND: Final = (
    sa.update(leases)
    .where(leases.c.id == sa.bindparam("lease"), leases.c.until > _NOW)
    .values(until=sa.bindparam("later", type_=sa.Double))
)
END: Final = sa.delete(leases).where(leases.c.id == sa.bindparam("lease"))
ON_LEASE: Final = sa.select(items.c.key).where(items.c.lease == sa.bindparam("lease"))

# All that a writer has to know before it writes, in one question: each row tells what it is about.
EXPIRED, KNOWN, LANDED, STANDS = "expired", "known", "landed", "stands"
LOOKS: Final = (
    sa.select(sa.literal(EXPIRED), leases.c.id, sa.literal(0)).where(leases.c.until <= _NOW),
    sa.select(sa.literal(KNOWN), leases.c.id, sa.literal(0)).where(
        leases.c.id == sa.bindparam("lease"), leases.c.until > _NOW
    ),
    sa.select(sa.literal(LANDED), receipts.c.token, receipts.c.version).where(
        receipts.c.token == sa.bindparam("token")
    ),
    sa.select(sa.literal(STANDS), items.c.key, items.c.version).where(
        items.c.key.in_(sa.bindparam("keys", expanding=True)), _alive
    ),
)
LOOK: Final = sa.union_all(*LOOKS)


@cache
def upsert(dialect: str) -> sa.Executable:
    """Make the statement that writes items, whether they are there or not.

    Args:
        dialect: what SQLAlchemy calls the database.

    Returns:
        The statement.
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
def some(*, prefix: bool, after: bool, limit: bool, reverse: bool) -> sa.Select[Any]:
    """Make the question for items in the order of their keys; it is made once for each form.

    Args:
        prefix: only keys from "low" up to "high".
        after: only keys behind "after", in reverse before it.
        limit: at most "limit".
        reverse: the last key first.

    Returns:
        The question, with values to come for those names and for "now".
    """
    key = items.c.key
    asked = sa.select(items).where(_alive)
    if prefix:
        asked = asked.where(key >= sa.bindparam("low"), key < sa.bindparam("high"))
    if after:
        asked = asked.where(key < sa.bindparam("after") if reverse else key > sa.bindparam("after"))
    asked = asked.order_by(key.desc() if reverse else key)
    return asked.limit(sa.bindparam("limit", type_=sa.Integer)) if limit else asked


def bounds(prefix: str) -> dict[str, str]:
    """Give the values for a question about keys with a prefix.

    Args:
        prefix: the prefix.

    Returns:
        The values by name; none if all keys have it.
    """
    return {"low": prefix, "high": prefix_end(prefix)} if prefix else {}


@cache
def changes(*, prefix: bool) -> tuple[sa.Select[Any], sa.Select[Any]]:
    """Make the questions whether items have changed after "since": those put, and those deleted.

    Args:
        prefix: only keys from "low" up to "high".

    Returns:
        The questions; they have a row if so.
    """
    asked = []
    for table in (items, gone):
        one = sa.select(table.c.version).where(table.c.version > sa.bindparam("since")).limit(1)
        if prefix:
            one = one.where(table.c.key >= sa.bindparam("low"), table.c.key < sa.bindparam("high"))
        asked.append(one)
    return asked[0], asked[1]
