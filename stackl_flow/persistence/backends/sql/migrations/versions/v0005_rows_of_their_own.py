"""What seldom changes has rows of its own: inputs of flows, long values of atoms, attempts of retries.

Atoms have the number of their attempt, the time at which it began, and their progress; transitions have a
reason, and the time at which the work began that they end. Columns are renamed, so that a program of an older
version that has the database open can no longer write to it, nor read flows without their inputs.
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_MYSQL: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}
_UUID = sa.String(64)
_NAME = sa.String(255)
_WORD = sa.String(32)
_REST = ("atom", "old_state", "new_state", "at", "who", "why", "started_at")
_SPAN = 2**32
_PARTS = ("factory", "injected", "secret_results", "secrets", "store")
_MAX_NAME = 200


def upgrade() -> None:
    """Add columns and tables, and move what the metadata of flows contains of inputs and factories."""
    _add_columns(
        "atomdetails",
        sa.Column("attempt", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("started_at", sa.Double()),
        sa.Column("progress", _TEXT),
    )
    _add_columns("flowdetails", sa.Column("inputs_version", sa.Integer(), nullable=False, server_default="0"))
    _create_tables()
    _move_inputs()
    _rename_column("flowdetails", "meta", "metadata", _TEXT, nullable=True)
    op.execute("DROP VIEW IF EXISTS transitions")
    _rename_column("history", "owner", "who", _NAME, nullable=True)
    _add_columns("history", sa.Column("why", _NAME), sa.Column("started_at", sa.Double()))
    _create_view()


def _create_tables() -> None:
    _create_table(
        "flow_inputs",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("flow_uuid", _UUID, nullable=False),
        sa.Column("part", _NAME, nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("value", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_flow_inputs"),
        sa.ForeignKeyConstraint(
            ["flow_uuid"], ["flowdetails.uuid"], name="fk_flow_inputs_flow_uuid", ondelete="CASCADE"
        ),
        index="flow_uuid",
    )
    _create_table(
        "atom_values",
        sa.Column("atom_uuid", _UUID, nullable=False),
        sa.Column("name", _WORD, nullable=False),
        sa.Column("value", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("atom_uuid", "name", name="pk_atom_values"),
        sa.ForeignKeyConstraint(
            ["atom_uuid"], ["atomdetails.uuid"], name="fk_atom_values_atom_uuid", ondelete="CASCADE"
        ),
    )
    _create_table(
        "retry_attempts",
        sa.Column("retry_uuid", _UUID, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("atom", _NAME),
        sa.Column("value", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("retry_uuid", "seq", name="pk_retry_attempts"),
        sa.ForeignKeyConstraint(
            ["retry_uuid"], ["atomdetails.uuid"], name="fk_retry_attempts_retry_uuid", ondelete="CASCADE"
        ),
    )


def _move_inputs() -> None:
    """Move inputs, factories and secrets out of the metadata; that of another codec than JSON stays there."""
    if "meta" not in _columns_of("flowdetails"):
        return
    flows = sa.table("flowdetails", *map(sa.column, ("id", "uuid", "meta", "inputs_version")))
    inputs = sa.table("flow_inputs", *map(sa.column, ("flow_uuid", "part", "name", "value")))
    connection = op.get_bind()
    last = -1
    while True:
        # One by one, as a flow may have megabytes of them.
        wanted = sa.select(flows.c.id, flows.c.uuid, flows.c.meta)
        to_move = flows.c.id > last, flows.c.meta.is_not(None), flows.c.inputs_version == 0
        row = connection.execute(wanted.where(*to_move).order_by(flows.c.id).limit(1)).first()
        if row is None:
            return
        last = row.id
        meta, rows = _split(row.uuid, row.meta)
        if rows:
            # Where DDL is not rolled back, an attempt that was interrupted may have moved some.
            connection.execute(sa.delete(inputs).where(inputs.c.flow_uuid == row.uuid))
            connection.execute(sa.insert(inputs), rows)
            this = flows.c.id == row.id
            connection.execute(sa.update(flows).where(this).values(meta=meta, inputs_version=1))


def _split(uuid: str, text: str) -> tuple[str | None, list[dict[str, str]]]:
    try:
        meta = json.loads(text)
    except ValueError:
        return text, []
    if not isinstance(meta, dict) or any(key.startswith("$") for key in meta):
        return text, []
    rows = [
        {"flow_uuid": uuid, "part": part, "name": name, "value": json.dumps(value, separators=(",", ":"))}
        for part in _PARTS
        if part in meta
        for name, value in _items(meta[part])
    ]
    rest = {key: value for key, value in meta.items() if key not in _PARTS}
    return (json.dumps(rest, separators=(",", ":")) if rest else None), rows


def _items(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict) and value and all(map(_is_name, value)):
        return list(value.items())
    return [("", value)]


def _is_name(key: str) -> bool:
    # A key with "$" is the tag of a type.
    return 0 < len(key) <= _MAX_NAME and key == key.strip() and key[0] != "$" and "\0" not in key


def _create_view() -> None:
    flows = sa.table("flowdetails", sa.column("id"), sa.column("uuid"))
    history = sa.table("history", *map(sa.column, ("id", *_REST)))
    first = flows.c.id * sa.literal_column(str(_SPAN), sa.BigInteger())
    shown = sa.select(
        flows.c.uuid.label("flow_uuid"),
        (history.c.id - first).label("seq"),
        *(history.c[name] for name in _REST),
    ).select_from(flows.join(history, sa.and_(history.c.id > first, history.c.id < first + _SPAN)))
    sql = shown.compile(dialect=op.get_bind().dialect, compile_kwargs={"literal_binds": True})
    op.execute(f"CREATE VIEW transitions AS {sql}")


# Where DDL cannot be rolled back, an attempt that was interrupted may have done any of these.


def _columns_of(table: str) -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}


def _add_columns(table: str, *columns: sa.Column[Any]) -> None:
    present = _columns_of(table)
    for column in columns:
        if column.name not in present:
            op.add_column(table, column)


def _rename_column(table: str, old: str, new: str, kind: Any, *, nullable: bool) -> None:
    if old not in _columns_of(table):
        return
    if op.get_bind().dialect.name in ("mysql", "mariadb"):
        op.alter_column(table, old, new_column_name=new, existing_type=kind, existing_nullable=nullable)
    else:
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")


def _create_table(name: str, *parts: Any, index: str | None = None) -> None:
    inspector = sa.inspect(op.get_bind())
    if name not in inspector.get_table_names():
        op.create_table(name, *parts, **_MYSQL)
    if index is not None and not inspector.has_index(name, f"ix_{name}_{index}"):
        op.create_index(f"ix_{name}_{index}", name, [index])
