"""A checkpoint in one statement, for a database that can write in several tables with one (WITH ... UPDATE).

It lands by itself, in one trip: there is nobody to look at the answer before the commit. So it looks itself:
when the epoch has passed or a row is missing, it divides by nothing, fails, and nothing of it lands.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from stackl_flow.persistence.backends.sql.tables import atomdetails, flowdetails, moves
from stackl_flow.persistence.records import AtomMove, Checkpoint

#: More rows than this are sent as statements of their own: a statement is compiled for each number of them.
MOST: Final = 6

_MOVING: Final = AtomMove._fields[1:]
_MOVED: Final = tuple(column.name for column in moves.columns)
_ONE: Final = sa.literal_column("1", sa.Integer).label("done")


class Guarded:
    """Statements for checkpoints of a few atoms and moves, each compiled once.

    Args:
        dialect: the database's dialect; its parameters must be written ``%s``.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._known: dict[tuple[int, int], str] = {}

    def fits(self, cp: Checkpoint) -> bool:
        """Say whether a checkpoint can be one statement.

        Args:
            cp: the checkpoint.

        Returns:
            True for a few atoms and moves; False when the flow itself changes.
        """
        alone = cp.flow_state is None and cp.flow_meta is None
        return alone and 0 < len(cp.transitions) <= MOST and len(cp.atoms) <= MOST

    def statement(self, cp: Checkpoint, last: int) -> tuple[str, list[Any]]:
        """Make the statement of a checkpoint.

        Args:
            cp: the checkpoint.
            last: the number of the flow's last move.

        Returns:
            The SQL with ``$1`` and so on, and the values in that order.
        """
        flow, epoch, owner, _, _, atoms, made = cp
        shape = len(atoms), len(made)
        text = self._known.get(shape)
        if text is None:
            text = self._known[shape] = self._compile(*shape)
        values: list[Any] = [flow, epoch]
        for uuid, *moving in atoms:
            values += moving
            values.append(uuid)
        for number, move in enumerate(made, last + 1):
            values.append(number)
            values += move
            values.append(owner)
        return text, values

    def _compile(self, atoms: int, made: int) -> str:
        held = (
            sa.select(flowdetails.c.uuid)
            .where(flowdetails.c.uuid == sa.bindparam("flow"), flowdetails.c.epoch == sa.bindparam("epoch"))
            .with_for_update()
            .cte("held")
        )
        parts = [*(_atom(held, number) for number in range(atoms)), *(_move(held, n) for n in range(made))]
        counts = [sa.select(sa.func.count()).select_from(part).scalar_subquery() for part in parts]
        whole = sum(counts[1:], counts[0]) == sa.literal_column(str(len(parts)), sa.Integer)
        one, nothing = (sa.literal_column(word, sa.Integer) for word in "10")
        guard = sa.select(one.op("/")(sa.case((whole, one), else_=nothing)))
        compiled = guard.compile(dialect=self._dialect)
        order = ["flow", "epoch"]
        order += [f"a{n}_{name}" for n in range(atoms) for name in (*_MOVING, "uuid")]
        order += [f"m{n}_{name}" for n in range(made) for name in _MOVED]
        found = getattr(compiled, "positiontup", None)
        if found != order:
            raise AssertionError(f"{self._dialect.name} takes {found}, but values are {order}: {compiled}")
        # Values go by number, as the server itself has it.
        first, *rest = str(compiled).split("%s")
        return first + "".join(f"${number}{part}" for number, part in enumerate(rest, 1))


def _atom(held: sa.CTE, number: int) -> sa.CTE:
    columns = atomdetails.c
    values: list[Any] = [
        (columns[name], sa.bindparam(f"a{number}_{name}", type_=columns[name].type)) for name in _MOVING
    ]
    mine = columns.uuid == sa.bindparam(f"a{number}_uuid")
    statement = atomdetails.update().where(mine, sa.exists(sa.select(held.c.uuid))).ordered_values(*values)
    return statement.returning(_ONE).cte(f"a{number}")


def _move(held: sa.CTE, number: int) -> sa.CTE:
    values = [sa.bindparam(f"m{number}_{column.name}", type_=column.type) for column in moves.columns]
    row = sa.select(*values).select_from(held)
    return moves.insert().from_select(list(_MOVED), row).returning(_ONE).cte(f"m{number}")
