"""The tables of a place of items, and what is asked of them.

``kv_state`` has one row: the format and the count of commits. Every commit raises that count first, so that
commits come one after another, and a waiter sees by one number whether anything happened. Deleted keys are
remembered for a while in ``kv_gone``, so that a waiter knows whether it was one of his.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from stackl_flow.kv.items import MAX_KEY
from stackl_flow.kv.shelf import above

FORMAT: Final = 1
#: For how many commits a deletion is remembered; a waiter that was away longer looks anew.
REMEMBERED: Final = 4096

metadata: Final = sa.MetaData()

# Keys are compared byte by byte. SQLite does that as it comes.
_KEY: Final = sa.String(MAX_KEY).with_variant(sa.String(MAX_KEY, collation="C"), "postgresql")
_LEASE: Final = sa.String(64)

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
    sa.Column("value", sa.Text, nullable=False),
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

_NOW: Final = sa.bindparam("now", type_=sa.Double)
_alive: Final = items.c.lease.is_(None) | items.c.lease.in_(
    sa.select(leases.c.id).where(leases.c.until > _NOW)
)

READ_STATE: Final = sa.select(state.c.format, state.c.revision)
RAISE: Final = sa.update(state).values(revision=state.c.revision + 1)
READ_ONE: Final = sa.select(items).where(items.c.key == sa.bindparam("key"), _alive)
VERSIONS: Final = sa.select(items.c.key, items.c.version).where(
    items.c.key.in_(sa.bindparam("keys", expanding=True)), _alive
)
STORED: Final = sa.select(items.c.key).where(items.c.key.in_(sa.bindparam("keys", expanding=True)))
REMOVE: Final = sa.delete(items).where(items.c.key.in_(sa.bindparam("keys", expanding=True)))
INSERT: Final = sa.insert(items)
FORGET: Final = sa.insert(gone)
TRIM: Final = sa.delete(gone).where(gone.c.version < sa.bindparam("before"))
EXPIRED: Final = sa.select(leases.c.id).where(leases.c.until <= _NOW)
NEXT_END: Final = sa.select(sa.func.min(leases.c.until))
KNOWN: Final = sa.select(leases.c.id).where(leases.c.id == sa.bindparam("lease"), leases.c.until > _NOW)
LEND: Final = sa.insert(leases)
EXTEND: Final = (
    sa.update(leases)
    .where(leases.c.id == sa.bindparam("lease"), leases.c.until > _NOW)
    .values(until=sa.bindparam("later", type_=sa.Double))
)
END: Final = sa.delete(leases).where(leases.c.id == sa.bindparam("lease"))
ON_LEASE: Final = sa.select(items.c.key).where(items.c.lease == sa.bindparam("lease"))


def some(
    prefix: str, after: str, limit: int | None, *, reverse: bool
) -> tuple[sa.Select[Any], dict[str, Any]]:
    """Make the question for items with a prefix.

    Args:
        prefix: the prefix.
        after: only items behind this key, in reverse before it; empty for all.
        limit: at most so many.
        reverse: the last key first.

    Returns:
        The question, and values for it; the time has to be added under "now".
    """
    key = items.c.key
    asked = sa.select(items).where(_alive)
    values: dict[str, Any] = {}
    if prefix:
        asked = asked.where(key >= sa.bindparam("low"), key < sa.bindparam("high"))
        values |= {"low": prefix, "high": above(prefix)}
    if after:
        asked = asked.where(key < sa.bindparam("after") if reverse else key > sa.bindparam("after"))
        values["after"] = after
    asked = asked.order_by(key.desc() if reverse else key)
    return (asked if limit is None else asked.limit(limit)), values


def changes(prefix: str, since: int) -> tuple[list[sa.Select[Any]], dict[str, Any]]:
    """Make the questions whether items with a prefix have changed: those put, and those deleted.

    Args:
        prefix: the prefix.
        since: the revision that is known.

    Returns:
        The questions, which have a row if so, and values for them.
    """
    asked = []
    for table in (items, gone):
        one = sa.select(table.c.version).where(table.c.version > sa.bindparam("since")).limit(1)
        if prefix:
            one = one.where(table.c.key >= sa.bindparam("low"), table.c.key < sa.bindparam("high"))
        asked.append(one)
    return asked, {"since": since, **({"low": prefix, "high": above(prefix)} if prefix else {})}
