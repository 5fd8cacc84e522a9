"""The key of a transition is one number, so that no other table is read when one is inserted.

The number combines the id of the flow and the number of the transition within it. The former table is a view,
for people to query as before.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_MYSQL: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}
_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NAME = sa.String(255)
_WORD = sa.String(32)
_REST = ("atom", "old_state", "new_state", "at", "owner")
_SPAN = 2**32


def upgrade() -> None:
    """Copy the history into a table with the new key, and replace the old table by a view."""
    moves = op.create_table(
        "moves",
        sa.Column("id", _KEY, nullable=False, autoincrement=False),
        sa.Column("atom", _NAME),
        sa.Column("old_state", _WORD),
        sa.Column("new_state", _WORD),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("owner", _NAME),
        sa.PrimaryKeyConstraint("id", name="pk_moves"),
        **_MYSQL,
    )
    flows = sa.table("flowdetails", sa.column("id"), sa.column("uuid"))
    old = sa.table("transitions", *map(sa.column, ("flow_uuid", "seq", *_REST)))
    span = sa.literal_column(str(_SPAN), sa.BigInteger())
    number = flows.c.id * span + old.c.seq
    rows = (
        sa.select(number, *(old.c[name] for name in _REST))
        .select_from(old.join(flows, flows.c.uuid == old.c.flow_uuid))
        .order_by(number)
    )
    op.execute(moves.insert().from_select(["id", *_REST], rows))
    op.drop_table("transitions")
    first = flows.c.id * span
    of_flow = sa.and_(moves.c.id > first, moves.c.id < first + span)
    shown = sa.select(
        flows.c.uuid.label("flow_uuid"), (moves.c.id - first).label("seq"), *(moves.c[name] for name in _REST)
    ).select_from(flows.join(moves, of_flow))
    words = shown.compile(dialect=op.get_bind().dialect, compile_kwargs={"literal_binds": True})
    op.execute(f"CREATE VIEW transitions AS {words}")
