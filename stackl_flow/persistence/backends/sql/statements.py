"""The SQL statements, compiled once for a dialect and then run on the driver's own cursor.

SQLAlchemy writes the SQL, so that it fits the database. It does not run the statements of a checkpoint,
because its way to the driver costs more than all that SQLite does before the disk answers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement

from stackl_flow.persistence.backends.sql.tables import (
    HISTORY_COLUMNS,
    IDS_PER_FLOW,
    atom_values,
    atomdetails,
    flow_inputs,
    flowdetails,
    history,
    logbooks,
    retry_attempts,
)
from stackl_flow.persistence.records import AtomUpdate, Changes, Checkpoint

#: The columns of an atom that change while it runs.
_CHANGING: Final = AtomUpdate._fields[1:]

_SPAN: Final = sa.literal_column(str(IDS_PER_FLOW), sa.BigInteger)
#: The ids of a flow's transitions are greater than this.
_BASE_ID: Final = flowdetails.c.id * _SPAN


class Prepared(NamedTuple):
    """A compiled statement and its values, in the driver's order."""

    sql: str
    values: Sequence[Any]


class _Query(NamedTuple):
    """A compiled query, and the default of each parameter in the driver's order."""

    sql: str
    defaults: Mapping[str, Any]


def prepare(dialect: Dialect, statement: ClauseElement) -> Prepared:
    """Compile a statement for a driver that takes values by position."""
    compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
    params = compiled.params
    return Prepared(str(compiled), [params[name] for name in getattr(compiled, "positiontup", None) or ()])


def _insert(dialect: Dialect, table: sa.Table, *, with_id: bool = False) -> str:
    names = [column.name for column in table.columns if with_id or column.name != "id"]
    return _compile(dialect, table.insert().values({name: sa.bindparam(name) for name in names}), names)


def _update(dialect: Dialect, table: sa.Table, names: Sequence[str]) -> str:
    values: list[Any] = [(table.c[name], sa.bindparam(f"new_{name}")) for name in names]
    statement = table.update().where(table.c.uuid == sa.bindparam("row_uuid")).ordered_values(*values)
    return _compile(dialect, statement, [*(f"new_{name}" for name in names), "row_uuid"])


def _delete(dialect: Dialect, table: sa.Table, *names: str) -> str:
    """Compile the deletion of the rows that have some values in these columns."""
    same = [table.c[name] == sa.bindparam(f"row_{name}") for name in names]
    return _compile(dialect, table.delete().where(*same), [f"row_{name}" for name in names])


def _compile(dialect: Dialect, statement: ClauseElement, order: Sequence[str]) -> str:
    """Compile a statement, and check that its parameters are in the order in which values are passed."""
    compiled = statement.compile(dialect=dialect)
    found = list(getattr(compiled, "positiontup", None) or ())
    if found != list(order):
        raise AssertionError(f"{dialect.name} takes {found}, but rows are {list(order)}: {compiled}")
    return str(compiled)


def _belongs_to_flow() -> sa.ColumnElement[bool]:
    return sa.and_(history.c.id > _BASE_ID, history.c.id < _BASE_ID + _SPAN)


class Statements:
    """All statements, each compiled once.

    Args:
        dialect: the database's dialect; its parameters must be positional.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._queries: dict[tuple[object, ...], _Query] = {}

        this_flow = flowdetails.c.uuid == sa.bindparam("row_uuid")
        newest = sa.select(sa.func.max(history.c.id)).where(_belongs_to_flow()).scalar_subquery()
        last_id = sa.func.coalesce(newest, _BASE_ID)
        owner = (flowdetails.c.epoch, flowdetails.c.owner)

        def compiled(statement: ClauseElement, *order: str) -> str:
            return _compile(dialect, statement, order)

        # Checkpoints. On a server the flow's row stays locked until the commit. Locking and reading the last
        # id are two statements there: what is read along with a lock was read before the lock was granted.
        self.lock_flow_with_last_id = compiled(
            sa.select(*owner, last_id).where(this_flow).with_for_update(), "row_uuid"
        )
        self.lock_flow = compiled(sa.select(*owner).where(this_flow).with_for_update(), "row_uuid")
        self.select_last_id = compiled(
            sa.select(last_id).select_from(flowdetails).where(this_flow), "row_uuid"
        )
        transition = sa.select(*HISTORY_COLUMNS).where(history.c.id == sa.bindparam("row_id"))
        self.select_transition = compiled(transition, "row_id")
        self.update_atom = _update(dialect, atomdetails, _CHANGING)
        self.update_flow_state = compiled(
            flowdetails.update()
            .where(this_flow)
            .ordered_values(
                (flowdetails.c.state, sa.func.coalesce(sa.bindparam("new_state"), flowdetails.c.state)),
                (flowdetails.c.metadata, sa.func.coalesce(sa.bindparam("new_meta"), flowdetails.c.metadata)),
                (flowdetails.c.updated_at, sa.bindparam("new_updated_at")),
                (flowdetails.c.inputs_version, flowdetails.c.inputs_version + sa.bindparam("new_inputs")),
            ),
            "new_state", "new_meta", "new_updated_at", "new_inputs", "row_uuid",
        )  # fmt: skip
        self.insert_transition = _insert(dialect, history, with_id=True)

        # Everything else.
        self.insert_book = _insert(dialect, logbooks)
        self.insert_flow = _insert(dialect, flowdetails)
        self.insert_atom = _insert(dialect, atomdetails)
        self.update_book = _update(dialect, logbooks, ("name", "meta", "created_at", "updated_at"))
        self.update_flow = _update(
            dialect, flowdetails, ("state", "metadata", "updated_at", "inputs_version")
        )
        self.set_owner = _update(dialect, flowdetails, ("epoch", "owner", "updated_at"))
        self.replace_atom = _update(dialect, atomdetails, ("version", *_CHANGING))
        self.delete_value = _delete(dialect, atom_values, "atom_uuid", "name")
        self.insert_value = _insert(dialect, atom_values)
        self.delete_attempts = compiled(
            retry_attempts.delete().where(
                retry_attempts.c.retry_uuid == sa.bindparam("row_uuid"),
                retry_attempts.c.seq >= sa.bindparam("keep"),
            ),
            "row_uuid", "keep",
        )  # fmt: skip
        self.insert_attempt = _insert(dialect, retry_attempts)
        self.delete_part = _delete(dialect, flow_inputs, "flow_uuid", "part")
        self.delete_input = _delete(dialect, flow_inputs, "flow_uuid", "part", "name")
        self.insert_input = _insert(dialect, flow_inputs)
        self.select_flow_id = compiled(sa.select(flowdetails.c.id).where(this_flow), "row_uuid")
        of_book = flowdetails.c.book_uuid == sa.bindparam("row_uuid")
        self.lock_flows_of_book = compiled(
            sa.select(flowdetails.c.id).where(of_book).with_for_update(), "row_uuid"
        )
        ids = history.c.id.between(sa.bindparam("low"), sa.bindparam("high"))
        self.delete_history = compiled(history.delete().where(ids), "low", "high")

    def other_rows(self, changes: Changes | Checkpoint) -> Iterator[tuple[str, Sequence[Sequence[Any]]]]:
        """Yield the statements for long values, histories of retries and inputs, each with its rows.

        They may be written twice: a row is deleted before it is written.
        """
        values, inputs = changes.values, changes.inputs
        if values:
            yield self.delete_value, [row[:2] for row in values]
            yield self.insert_value, [row for row in values if row.value is not None]
        if changes.attempts:
            yield self.delete_attempts, [(uuid, keep) for uuid, keep, _ in changes.attempts]
            yield self.insert_attempt, [row for change in changes.attempts for row in change.rows]
        if inputs:
            yield self.delete_part, [row[:2] for row in inputs if row.name is None]
            yield self.delete_input, [row[:3] for row in inputs if row.name is not None]
            yield self.insert_input, [row for row in inputs if row.value is not None]

    def query(self, build: Callable[[Collection[str]], sa.Select[Any]], **given: Any) -> Prepared:
        """Return a query and its values; each form of it is compiled once.

        Args:
            build: one of the ``select_`` functions below.
            given: the values to select by; those that are None count as not given.
        """
        values = {name: value for name, value in given.items() if value is not None}
        known = self._queries.get((build, *values))
        if known is None:
            compiled = build(values.keys()).compile(dialect=self._dialect)
            # A dialect may have parameters of its own, such as an offset of 0 beside a limit.
            defaults = {name: compiled.params[name] for name in getattr(compiled, "positiontup", None) or ()}
            known = self._queries[build, *values] = _Query(str(compiled), defaults)
        return Prepared(known.sql, [values.get(name, default) for name, default in known.defaults.items()])


def _rows(table: sa.Table, names: Collection[str]) -> sa.Select[Any]:
    """Select the rows whose columns of these names have the bound values; the name "lock" locks them."""
    same = [table.c[name] == sa.bindparam(name) for name in names if name in table.c]
    query = sa.select(*(column for column in table.columns if column.name != "id")).where(*same)
    query = query.with_for_update() if "lock" in names else query
    return query.limit(sa.bindparam("limit", type_=sa.Integer())) if "limit" in names else query


def select_books(names: Collection[str]) -> sa.Select[Any]:
    """Select one logbook ("uuid"), or all of them, oldest first."""
    return _rows(logbooks, names).order_by(logbooks.c.id)


def select_flows(names: Collection[str]) -> sa.Select[Any]:
    """Select the flows that match all of "uuid", "book_uuid" and "state", as far as given, oldest first."""
    return _rows(flowdetails, names).order_by(flowdetails.c.id)


def select_newest_flows(names: Collection[str]) -> sa.Select[Any]:
    """Select flows as `select_flows` does, newest first."""
    return _rows(flowdetails, names).order_by(flowdetails.c.id.desc())


def select_atoms(names: Collection[str]) -> sa.Select[Any]:
    """Select a flow's atoms ("flow_uuid") in the order they were added, or one atom ("uuid")."""
    return _rows(atomdetails, names).order_by(atomdetails.c.id)


def select_values(names: Collection[str]) -> sa.Select[Any]:
    """Select the long values of a flow's atoms ("flow_uuid")."""
    return _of_atoms(atom_values, atom_values.c.atom_uuid, names)


def select_attempts(names: Collection[str]) -> sa.Select[Any]:
    """Select the histories of a flow's retries ("flow_uuid"), each in order."""
    return _of_atoms(retry_attempts, retry_attempts.c.retry_uuid, names).order_by(retry_attempts.c.seq)


def _of_atoms(table: sa.Table, uuid: sa.Column[Any], names: Collection[str]) -> sa.Select[Any]:
    del names
    of_flow = atomdetails.c.flow_uuid == sa.bindparam("flow_uuid")
    return sa.select(table).select_from(table.join(atomdetails, atomdetails.c.uuid == uuid)).where(of_flow)


def select_inputs(names: Collection[str]) -> sa.Select[Any]:
    """Select the inputs of a flow ("flow_uuid") in the order they were added."""
    return _rows(flow_inputs, names).order_by(flow_inputs.c.id)


def select_transitions(names: Collection[str]) -> sa.Select[Any]:
    """Select a flow's transitions ("flow_uuid") after a number ("after") in order, up to a "limit"."""
    after = history.c.id > _BASE_ID + sa.bindparam("after")
    query = (
        sa.select(history.c.id - _BASE_ID, *HISTORY_COLUMNS)
        .select_from(flowdetails.join(history, _belongs_to_flow()))
        .where(flowdetails.c.uuid == sa.bindparam("flow_uuid"), after)
        .order_by(history.c.id)
    )
    return query.limit(sa.bindparam("limit", type_=sa.Integer())) if "limit" in names else query
