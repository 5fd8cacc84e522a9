"""Atoms have the number of their attempt and the time at which it began."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    _add_columns(
        "atomdetails",
        sa.Column("attempt", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("started_at", sa.Double()),
    )


def _add_columns(table: str, *columns: sa.Column[object]) -> None:
    """Add columns, except those that an attempt which was interrupted added where DDL is not rolled back."""
    present = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
    for column in columns:
        if column.name not in present:
            op.add_column(table, column)
