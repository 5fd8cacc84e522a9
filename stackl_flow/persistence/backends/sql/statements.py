"""The statements, compiled once for a dialect and then run on the driver's own cursor.

SQLAlchemy writes the SQL, so that it fits the database; it does not stand between us and the driver when a
checkpoint is made, because its way through costs more than all that SQLite does before the disk answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement

from stackl_flow.persistence.backends.sql.tables import atomdetails, flowdetails, logbooks, transitions
from stackl_flow.persistence.records import AtomMove

MOVING: Final = AtomMove._fields[1:]


class Run(NamedTuple):
    """A statement with its values, for the driver."""

    sql: str
    values: Sequence[Any]


def prepare(dialect: Dialect, statement: ClauseElement) -> Run:
    """Compile a statement for a driver that takes values by position.

    Args:
        dialect: the database's dialect.
        statement: what to run.

    Returns:
        The SQL, and the values bound in it, in its own order.
    """
    compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    params = compiled.params
    return Run(str(compiled), [params[name] for name in getattr(compiled, "positiontup", None) or ()])


def _insert(dialect: Dialect, table: sa.Table) -> str:
    names = [column.name for column in table.columns if column.name != "id"]
    return _fixed(dialect, table.insert().values({name: sa.bindparam(name) for name in names}), names)


def _update(dialect: Dialect, table: sa.Table, names: Sequence[str]) -> str:
    values: list[Any] = [(table.c[name], sa.bindparam(f"new_{name}")) for name in names]
    statement = table.update().where(table.c.uuid == sa.bindparam("row_uuid")).ordered_values(*values)
    return _fixed(dialect, statement, [*(f"new_{name}" for name in names), "row_uuid"])


def _fixed(dialect: Dialect, statement: ClauseElement, order: Sequence[str]) -> str:
    compiled = statement.compile(dialect=dialect)
    found = list(getattr(compiled, "positiontup", None) or ())
    if found != list(order):
        raise AssertionError(f"{dialect.name} takes {found}, but rows are {list(order)}: {compiled}")
    return str(compiled)


class Statements:
    """All statements whose text does not change from call to call.

    Args:
        dialect: the database's dialect; its parameters must be positional.
    """

    def __init__(self, dialect: Dialect) -> None:
        flow = flowdetails.c.uuid == sa.bindparam("row_uuid")
        last = sa.select(sa.func.max(transitions.c.seq)).where(transitions.c.flow_uuid == flowdetails.c.uuid)
        held = sa.select(flowdetails.c.epoch, flowdetails.c.owner, last.scalar_subquery()).where(flow)
        # On a database with many writers the row stays locked until the checkpoint is in.
        self.epoch = _fixed(dialect, held.with_for_update(), ["row_uuid"])
        self.move_atom = _update(dialect, atomdetails, MOVING)
        self.add_transition = _insert(dialect, transitions)
        moved = (
            flowdetails.update()
            .where(flow)
            .ordered_values(
                (flowdetails.c.state, sa.func.coalesce(sa.bindparam("new_state"), flowdetails.c.state)),
                (flowdetails.c.meta, sa.func.coalesce(sa.bindparam("new_meta"), flowdetails.c.meta)),
                (flowdetails.c.updated_at, sa.bindparam("new_updated_at")),
            )
        )
        self.move_flow = _fixed(dialect, moved, ["new_state", "new_meta", "new_updated_at", "row_uuid"])
        self.own = _update(dialect, flowdetails, ("epoch", "owner", "updated_at"))
        self.new_book = _insert(dialect, logbooks)
        self.new_flow = _insert(dialect, flowdetails)
        self.new_atom = _insert(dialect, atomdetails)
        self.book = _update(dialect, logbooks, ("name", "meta", "created_at", "updated_at"))
        self.flow = _update(dialect, flowdetails, ("state", "meta", "updated_at"))
        self.atom = _update(dialect, atomdetails, ("version", *MOVING))


def _rows(table: sa.Table) -> sa.Select[Any]:
    return sa.select(*(column for column in table.columns if column.name != "id"))


def select_books(uuid: str | None) -> sa.Select[Any]:
    """Select one book, or all of them, oldest first."""
    query = _rows(logbooks).order_by(logbooks.c.id)
    return query if uuid is None else query.where(logbooks.c.uuid == uuid)


def select_flows(
    uuid: str | None, book_uuid: str | None, state: str | None, limit: int | None, newest_first: bool
) -> sa.Select[Any]:
    """Select the flows for which all that is given holds."""
    wanted = {"uuid": uuid, "book_uuid": book_uuid, "state": state}
    filters = [flowdetails.c[name] == value for name, value in wanted.items() if value is not None]
    order = flowdetails.c.id.desc() if newest_first else flowdetails.c.id
    query = _rows(flowdetails).where(*filters).order_by(order)
    return query if limit is None else query.limit(limit)


def select_atoms(flow_uuid: str | None = None, uuid: str | None = None) -> sa.Select[Any]:
    """Select a flow's atoms in the order they were added, or one atom."""
    query = _rows(atomdetails).order_by(atomdetails.c.id)
    return query.where(atomdetails.c.flow_uuid == flow_uuid if uuid is None else atomdetails.c.uuid == uuid)


def select_transitions(flow_uuid: str, after: int, limit: int | None) -> sa.Select[Any]:
    """Select a flow's moves in order."""
    row = transitions.c
    query = (
        sa.select(row.seq, row.atom, row.old_state, row.new_state, row.at, row.owner)
        .where(row.flow_uuid == flow_uuid, row.seq > after)
        .order_by(row.seq)
    )
    return query if limit is None else query.limit(limit)
