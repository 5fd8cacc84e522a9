"""The statements, compiled once for a dialect and then run on the driver's own cursor.

SQLAlchemy writes the SQL, so that it fits the database; it does not stand between us and the driver when a
checkpoint is made, because its way through costs more than all that SQLite does before the disk answers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement

from stackl_flow.persistence.backends.sql.tables import SPAN, atomdetails, flowdetails, logbooks, moves
from stackl_flow.persistence.records import AtomUpdate

MOVING: Final = AtomUpdate._fields[1:]

_SPAN: Final = sa.literal_column(str(SPAN), sa.BigInteger)
#: The number behind which those of a flow's moves begin.
_FIRST: Final = flowdetails.c.id * _SPAN


class Run(NamedTuple):
    """A statement with its values, for the driver."""

    sql: str
    values: Sequence[Any]


class _Question(NamedTuple):
    """A compiled question: what is bound in it, in order, and what to where nothing is given."""

    sql: str
    order: Mapping[str, Any]


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
    return _add(dialect, table, leaving="id")


def _add(dialect: Dialect, table: sa.Table, leaving: str = "") -> str:
    names = [column.name for column in table.columns if column.name != leaving]
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


def _of_flow() -> sa.ColumnElement[bool]:
    return sa.and_(moves.c.id > _FIRST, moves.c.id < _FIRST + _SPAN)


class Statements:
    """All statements, each compiled once.

    Args:
        dialect: the database's dialect; its parameters must be positional.
    """

    def __init__(self, dialect: Dialect) -> None:
        flow = flowdetails.c.uuid == sa.bindparam("row_uuid")
        latest = sa.select(sa.func.max(moves.c.id)).where(_of_flow()).scalar_subquery()
        last = sa.func.coalesce(latest, _FIRST)
        held = sa.select(flowdetails.c.epoch, flowdetails.c.owner, last).where(flow)
        # On a database with many writers the row stays locked until the checkpoint is in.
        self.epoch = _fixed(dialect, held.with_for_update(), ["row_uuid"])
        # The same in two steps, for a database where the lock may have to be waited for: what is asked along
        # with it was seen before the wait.
        epoch = sa.select(flowdetails.c.epoch, flowdetails.c.owner).where(flow)
        self.lock = _fixed(dialect, epoch.with_for_update(), ["row_uuid"])
        self.last = _fixed(dialect, sa.select(last).select_from(flowdetails).where(flow), ["row_uuid"])
        row = moves.c
        at_number = sa.select(row.atom, row.old_state, row.new_state, row.at, row.owner).where(
            row.id == sa.bindparam("row_id")
        )
        self.at_number = _fixed(dialect, at_number, ["row_id"])
        self.move_atom = _update(dialect, atomdetails, MOVING)
        self.add_move = _add(dialect, moves)
        of_book = flowdetails.c.book_uuid == sa.bindparam("row_uuid")
        flows = sa.select(flowdetails.c.id).where(of_book).with_for_update()
        self.flows_of_book = _fixed(dialect, flows, ["row_uuid"])
        self.number = _fixed(dialect, sa.select(flowdetails.c.id).where(flow), ["row_uuid"])
        between = row.id.between(sa.bindparam("low"), sa.bindparam("high"))
        self.forget_moves = _fixed(dialect, moves.delete().where(between), ["low", "high"])
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
        self._dialect = dialect
        self._questions: dict[tuple[object, ...], _Question] = {}

    def question(self, ask: Callable[[Collection[str]], sa.Select[Any]], **given: Any) -> Run:
        """Prepare a question, which is compiled when it is asked for the first time.

        Args:
            ask: one of the ``select_`` functions below.
            given: the values it is asked with; those that are None count as not given.

        Returns:
            The SQL, and the values in its own order.
        """
        values = {name: value for name, value in given.items() if value is not None}
        known = self._questions.get((ask, *values))
        if known is None:
            compiled = ask(values.keys()).compile(dialect=self._dialect)
            # A dialect may bind more than was given, such as an offset of 0 beside a limit.
            order = {name: compiled.params[name] for name in getattr(compiled, "positiontup", None) or ()}
            known = self._questions[ask, *values] = _Question(str(compiled), order)
        return Run(known.sql, [values.get(name, default) for name, default in known.order.items()])


def _rows(table: sa.Table, names: Collection[str]) -> sa.Select[Any]:
    """Select rows whose columns of these names have the values to be bound to them; "lock" locks the rows."""
    same = [table.c[name] == sa.bindparam(name) for name in names if name in table.c]
    query = sa.select(*(column for column in table.columns if column.name != "id")).where(*same)
    query = query.with_for_update() if "lock" in names else query
    return query.limit(sa.bindparam("limit", type_=sa.Integer())) if "limit" in names else query


def select_books(names: Collection[str]) -> sa.Select[Any]:
    """Select one book ("uuid"), or all of them, oldest first."""
    return _rows(logbooks, names).order_by(logbooks.c.id)


def select_flows(names: Collection[str]) -> sa.Select[Any]:
    """Select the flows for which all that is given holds ("uuid", "book_uuid", "state"), oldest first."""
    return _rows(flowdetails, names).order_by(flowdetails.c.id)


def select_newest_flows(names: Collection[str]) -> sa.Select[Any]:
    """Select flows as ``select_flows`` does, newest first."""
    return _rows(flowdetails, names).order_by(flowdetails.c.id.desc())


def select_atoms(names: Collection[str]) -> sa.Select[Any]:
    """Select a flow's atoms ("flow_uuid") in the order they were added, or one atom ("uuid")."""
    return _rows(atomdetails, names).order_by(atomdetails.c.id)


def select_transitions(names: Collection[str]) -> sa.Select[Any]:
    """Select a flow's moves ("flow_uuid") behind a number ("after") in order, at most so many ("limit")."""
    row = moves.c
    query = (
        sa.select(row.id - _FIRST, row.atom, row.old_state, row.new_state, row.at, row.owner)
        .select_from(flowdetails.join(moves, _of_flow()))
        .where(flowdetails.c.uuid == sa.bindparam("flow_uuid"), row.id > _FIRST + sa.bindparam("after"))
        .order_by(row.id)
    )
    return query.limit(sa.bindparam("limit", type_=sa.Integer())) if "limit" in names else query
