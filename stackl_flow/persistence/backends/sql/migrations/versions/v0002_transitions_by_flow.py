"""Transitions are numbered and stored by flow: a checkpoint writes one index, not two."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_MYSQL: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}
_UUID = sa.String(64)
_NAME = sa.String(255)
_WORD = sa.String(32)


def upgrade() -> None:
    """Number the transitions of each flow, and recreate the table with its rows."""
    old = sa.table("transitions", *map(sa.column, ("id", "flow_uuid", *_REST)))
    # Copied and written back, because not all databases can change a primary key in place, or have two
    # constraints of the same name.
    kept = op.create_table("transitions_kept", *_columns(), **_MYSQL)
    number = sa.func.row_number().over(partition_by=old.c.flow_uuid, order_by=old.c.id)
    rows = sa.select(old.c.flow_uuid, number, *(old.c[name] for name in _REST))
    op.execute(kept.insert().from_select(["flow_uuid", "seq", *_REST], rows))
    op.drop_table("transitions")
    new = op.create_table(
        "transitions",
        *_columns(),
        sa.PrimaryKeyConstraint("flow_uuid", "seq", name="pk_transitions"),
        sa.ForeignKeyConstraint(
            ["flow_uuid"], ["flowdetails.uuid"], name="fk_transitions_flow_uuid", ondelete="CASCADE"
        ),
        sqlite_with_rowid=False,
        **_MYSQL,
    )
    in_order = sa.select(kept).order_by(kept.c.flow_uuid, kept.c.seq)
    op.execute(new.insert().from_select(["flow_uuid", "seq", *_REST], in_order))
    op.drop_table("transitions_kept")


_REST = ("atom", "old_state", "new_state", "at", "owner")


def _columns() -> list[sa.Column[object]]:
    return [
        sa.Column("flow_uuid", _UUID, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("atom", _NAME),
        sa.Column("old_state", _WORD),
        sa.Column("new_state", _WORD),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("owner", _NAME),
    ]
