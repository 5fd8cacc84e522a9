"""The first schema: logbooks, flows, atoms and their transitions."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# MySQL's TEXT holds at most 64 KB, and its default collation treats "A" and "a" as equal.
_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_MYSQL: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}
_UUID = sa.String(64)
_NAME = sa.String(255)
_WORD = sa.String(32)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "logbooks",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("uuid", _UUID, nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("meta", _TEXT),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double()),
        sa.PrimaryKeyConstraint("id", name="pk_logbooks"),
        sa.UniqueConstraint("uuid", name="uq_logbooks_uuid"),
        **_MYSQL,
    )
    _create_flows()
    _create_atoms()
    _create_transitions()


def _create_flows() -> None:
    op.create_table(
        "flowdetails",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("uuid", _UUID, nullable=False),
        sa.Column("book_uuid", _UUID, nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("state", _WORD),
        sa.Column("meta", _TEXT),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("owner", _NAME),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double()),
        sa.PrimaryKeyConstraint("id", name="pk_flowdetails"),
        sa.UniqueConstraint("uuid", name="uq_flowdetails_uuid"),
        sa.ForeignKeyConstraint(
            ["book_uuid"], ["logbooks.uuid"], name="fk_flowdetails_book_uuid", ondelete="CASCADE"
        ),
        **_MYSQL,
    )
    op.create_index("ix_flowdetails_book_uuid", "flowdetails", ["book_uuid"])
    op.create_index("ix_flowdetails_state", "flowdetails", ["state"])


def _create_atoms() -> None:
    op.create_table(
        "atomdetails",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("uuid", _UUID, nullable=False),
        sa.Column("flow_uuid", _UUID, nullable=False),
        sa.Column("kind", _WORD, nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("version", _TEXT),
        sa.Column("state", _WORD),
        sa.Column("intention", _WORD),
        sa.Column("results", _TEXT),
        sa.Column("failure", _TEXT),
        sa.Column("revert_results", _TEXT),
        sa.Column("revert_failure", _TEXT),
        sa.Column("meta", _TEXT),
        sa.PrimaryKeyConstraint("id", name="pk_atomdetails"),
        sa.UniqueConstraint("uuid", name="uq_atomdetails_uuid"),
        sa.ForeignKeyConstraint(
            ["flow_uuid"], ["flowdetails.uuid"], name="fk_atomdetails_flow_uuid", ondelete="CASCADE"
        ),
        # Room for the next version of a row in the same page, so that no index changes with it.
        postgresql_with={"fillfactor": 80},
        **_MYSQL,
    )
    op.create_index("ix_atomdetails_flow_uuid", "atomdetails", ["flow_uuid"])


def _create_transitions() -> None:
    op.create_table(
        "transitions",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("flow_uuid", _UUID, nullable=False),
        sa.Column("atom", _NAME),
        sa.Column("old_state", _WORD),
        sa.Column("new_state", _WORD),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("owner", _NAME),
        sa.PrimaryKeyConstraint("id", name="pk_transitions"),
        sa.ForeignKeyConstraint(
            ["flow_uuid"], ["flowdetails.uuid"], name="fk_transitions_flow_uuid", ondelete="CASCADE"
        ),
        **_MYSQL,
    )
    op.create_index("ix_transitions_flow_uuid", "transitions", ["flow_uuid"])
