"""The table of transitions is named ``history``."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_REST = ("atom", "old_state", "new_state", "at", "owner")
_SPAN = 2**32


def upgrade() -> None:
    """Rename the table, and recreate the view over it."""
    connection = op.get_bind()
    op.execute("DROP VIEW IF EXISTS transitions")
    # Where DDL cannot be rolled back, an attempt that was interrupted may have renamed it.
    if "moves" in sa.inspect(connection).get_table_names():
        op.rename_table("moves", "history")
    if connection.dialect.name == "postgresql":
        op.execute("ALTER TABLE history RENAME CONSTRAINT pk_moves TO pk_history")
    flows = sa.table("flowdetails", sa.column("id"), sa.column("uuid"))
    history = sa.table("history", *map(sa.column, ("id", *_REST)))
    first = flows.c.id * sa.literal_column(str(_SPAN), sa.BigInteger())
    shown = sa.select(
        flows.c.uuid.label("flow_uuid"),
        (history.c.id - first).label("seq"),
        *(history.c[name] for name in _REST),
    ).select_from(flows.join(history, sa.and_(history.c.id > first, history.c.id < first + _SPAN)))
    sql = shown.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
    op.execute(f"CREATE VIEW transitions AS {sql}")
