"""PostgreSQL: a whole checkpoint in one statement (WITH ... UPDATE ... INSERT), sent to libpq directly.

The statement commits by itself, in one round trip, so its result cannot be checked before the commit. It
checks itself: if the epoch is not the owner's or a row is missing, it divides by zero and nothing of it is
written. It is prepared once for each connection, and its values are text already: psycopg's cursor would add
about half of the time that the server takes.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql.psycopg import dialect

from stackl_flow.databases.prepared import PreparedStatements
from stackl_flow.persistence.backends.sql.tables import (
    HISTORY_COLUMNS,
    atomdetails,
    flowdetails,
    history,
)
from stackl_flow.persistence.records import AtomUpdate, Checkpoint

#: Checkpoints with more rows are sent as several statements: each shape has a statement of its own.
MAX_ROWS: Final = 6
#: After so many shapes, further ones are compiled with every column, empty or not.
MAX_SHAPES: Final = 100

#: Columns that are empty in most updates, and are left out of the parameters when they are.
_OPTIONAL: Final = AtomUpdate._fields[3:]
_ALL: Final = (True,) * len(_OPTIONAL)
_TRANSITION: Final = tuple(column.name for column in HISTORY_COLUMNS)
_ONE: Final = sa.literal_column("1", sa.Integer).label("done")


class SingleStatementCheckpoint:
    """Writes small checkpoints, each by one statement."""

    def __init__(self) -> None:
        self._statements = CheckpointStatements()
        self._prepared = PreparedStatements()

    def write(self, cursor: Any, cp: Checkpoint, last: int, at: float) -> bool:
        """Write and commit a checkpoint, if it is a small one; see `checkpoint.SingleStatement`."""
        if not 0 < len(cp.transitions) <= MAX_ROWS or len(cp.atoms) > MAX_ROWS:
            return False
        if cp.values or cp.attempts or cp.inputs:
            return False
        try:
            self._prepared.execute(cursor.connection, *self._statements.of(cp, last, at))
        except (psycopg.errors.DivisionByZero, psycopg.errors.UniqueViolation):
            return False  # written as several statements, it fails with the reason
        return True


class _Shape(NamedTuple):
    """What a statement writes: the optional columns of each atom, how many transitions, whether the flow."""

    atoms: tuple[tuple[bool, ...], ...]
    transitions: int
    flow: bool


class CheckpointStatements:
    """Statements for checkpoints of a few rows, each compiled once."""

    def __init__(self) -> None:
        self._dialect = dialect(paramstyle="format")  # type: ignore[no-untyped-call]
        self._known: dict[_Shape, str] = {}

    def of(self, cp: Checkpoint, last: int, at: float) -> tuple[str, list[Any]]:
        """Return the statement of a checkpoint with ``$1`` and so on, and the values in that order.

        Args:
            cp: the checkpoint.
            last: the id of the flow's last transition.
            at: the current time, in seconds since the epoch.
        """
        flow, epoch, state, meta, atoms, transitions = cp[:6]
        with_flow = state is not None or meta is not None
        given = tuple([tuple([value is not None for value in atom[3:]]) for atom in atoms])
        text = self._known.get(_Shape(given, len(transitions), with_flow))
        if text is None and len(self._known) >= MAX_SHAPES:
            given = (_ALL,) * len(atoms)
            text = self._known.get(_Shape(given, len(transitions), with_flow))
        if text is None:
            shape = _Shape(given, len(transitions), with_flow)
            text = self._known[shape] = self._compile(shape)
        values: list[Any] = [flow, epoch, last]
        if with_flow:
            values += (state, meta, at)
        for (uuid, atom_state, intention, *rest), present in zip(atoms, given, strict=True):
            values += (uuid, atom_state, intention)
            values += [value for value, has_value in zip(rest, present, strict=True) if has_value]
        for transition in transitions:
            values += transition.columns
        return text, values

    def _compile(self, shape: _Shape) -> str:
        locked = (
            sa.select(flowdetails.c.uuid)
            .where(flowdetails.c.uuid == sa.bindparam("flow"), flowdetails.c.epoch == sa.bindparam("epoch"))
            .with_for_update()
            .cte("locked")
        )
        parts = [
            *([_update_flow(locked)] if shape.flow else ()),
            *(_update_atom(locked, number, given) for number, given in enumerate(shape.atoms)),
            *(_insert_transition(locked, number) for number in range(shape.transitions)),
        ]
        # Each part returns 1 for the row that it writes; if one has no row, the sum is NULL.
        done = [sa.select(part.c.done).scalar_subquery() for part in parts]
        complete = sum(done[1:], done[0]) == sa.literal_column(str(len(parts)), sa.Integer)
        one, zero = (sa.literal_column(digit, sa.Integer) for digit in "10")
        guard = sa.select(one.op("/")(sa.case((complete, one), else_=zero)))
        compiled = guard.compile(dialect=self._dialect)
        number_of = {name: f"${number}" for number, name in enumerate(_parameters(shape), 1)}
        found = getattr(compiled, "positiontup", None) or ()
        if set(found) != set(number_of):
            raise AssertionError(f"{self._dialect.name} takes {found}, not {list(number_of)}: {compiled}")
        # The server's own numbered parameters: a value that is used twice is sent once.
        first, *rest = str(compiled).split("%s")
        return first + "".join(number_of[name] + part for name, part in zip(found, rest, strict=True))


def _parameters(shape: _Shape) -> list[str]:
    """Name the parameters of a statement, in the order in which their values are sent."""
    names = ["flow", "epoch", "last"]
    names += ["flow_state", "flow_meta", "flow_at"] if shape.flow else []
    for number, given in enumerate(shape.atoms):
        present = [name for name, has_value in zip(_OPTIONAL, given, strict=True) if has_value]
        names += [f"atom{number}_{name}" for name in ("uuid", "state", "intention", *present)]
    return names + [
        f"transition{number}_{name}" for number in range(shape.transitions) for name in _TRANSITION
    ]


def _update_flow(locked: sa.CTE) -> sa.CTE:
    columns = flowdetails.c
    values: list[Any] = [
        (columns.state, sa.func.coalesce(_bound("flow_state", columns.state), columns.state)),
        (columns.metadata, sa.func.coalesce(_bound("flow_meta", columns.metadata), columns.metadata)),
        (columns.updated_at, _bound("flow_at", columns.updated_at)),
    ]
    this_flow = columns.uuid == sa.bindparam("flow")
    statement = flowdetails.update().where(this_flow, sa.exists(sa.select(locked.c.uuid)))
    return statement.ordered_values(*values).returning(_ONE).cte("updated_flow")


def _update_atom(locked: sa.CTE, number: int, given: tuple[bool, ...]) -> sa.CTE:
    columns = atomdetails.c
    present = {"state": True, "intention": True, **dict(zip(_OPTIONAL, given, strict=True))}
    values: list[Any] = [
        (columns[name], _bound(f"atom{number}_{name}", columns[name]) if has_value else sa.null())
        for name, has_value in present.items()
    ]
    this_atom = columns.uuid == sa.bindparam(f"atom{number}_uuid")
    statement = atomdetails.update().where(this_atom, sa.exists(sa.select(locked.c.uuid)))
    return statement.ordered_values(*values).returning(_ONE).cte(f"updated_atom{number}")


def _insert_transition(locked: sa.CTE, number: int) -> sa.CTE:
    columns = history.c
    row = sa.select(
        sa.bindparam("last", type_=sa.BigInteger) + sa.literal_column(str(number + 1), sa.BigInteger),
        *(_bound(f"transition{number}_{name}", columns[name]) for name in _TRANSITION),
    ).select_from(locked)
    statement = history.insert().from_select(["id", *_TRANSITION], row)
    return statement.returning(_ONE).cte(f"inserted{number}")


def _bound(name: str, column: sa.Column[Any]) -> sa.BindParameter[Any]:
    return sa.bindparam(name, type_=column.type)
