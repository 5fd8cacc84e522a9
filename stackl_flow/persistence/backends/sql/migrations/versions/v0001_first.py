"""The first schema: books, flows, atoms and their moves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_UUID = sa.String(64)
_NAME = sa.String(255)
_WORD = sa.String(32)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "logbooks",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("uuid", _UUID, nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("meta", sa.Text()),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double()),
        sa.PrimaryKeyConstraint("id", name="pk_logbooks"),
        sa.UniqueConstraint("uuid", name="uq_logbooks_uuid"),
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
        sa.Column("meta", sa.Text()),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("owner", _NAME),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double()),
        sa.PrimaryKeyConstraint("id", name="pk_flowdetails"),
        sa.UniqueConstraint("uuid", name="uq_flowdetails_uuid"),
        sa.ForeignKeyConstraint(
            ["book_uuid"], ["logbooks.uuid"], name="fk_flowdetails_book_uuid", ondelete="CASCADE"
        ),
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
        sa.Column("version", sa.Text()),
        sa.Column("state", _WORD),
        sa.Column("intention", _WORD),
        sa.Column("results", sa.Text()),
        sa.Column("failure", sa.Text()),
        sa.Column("revert_results", sa.Text()),
        sa.Column("revert_failure", sa.Text()),
        sa.Column("meta", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_atomdetails"),
        sa.UniqueConstraint("uuid", name="uq_atomdetails_uuid"),
        sa.ForeignKeyConstraint(
            ["flow_uuid"], ["flowdetails.uuid"], name="fk_atomdetails_flow_uuid", ondelete="CASCADE"
        ),
        # Room for the next version of a row beside it, so that no index has to change with it.
        postgresql_with={"fillfactor": 80},
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
    )
    op.create_index("ix_transitions_flow_uuid", "transitions", ["flow_uuid"])
