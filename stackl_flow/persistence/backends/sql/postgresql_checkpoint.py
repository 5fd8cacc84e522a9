"""A checkpoint in one statement, for a database that can write in several tables with one (WITH ... UPDATE).

It lands by itself, in one trip: there is nobody to look at the answer before the commit. So it looks itself:
when the epoch has passed or a row is missing, it divides by nothing, fails, and nothing of it lands.

Statements that go straight to libpq, for the one that every checkpoint waits for.

psycopg's cursor costs about half of what the server takes for it. Here its text is prepared once a
connection, its values are text already, and the wait for the answer can be interrupted as with a cursor.
"""

from __future__ import annotations

import itertools
import select
from collections.abc import Iterable
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import psycopg
import sqlalchemy as sa
from psycopg.pq import ExecStatus
from sqlalchemy.engine import Dialect

from stackl_flow.persistence.backends.sql.tables import atomdetails, flowdetails, moves
from stackl_flow.persistence.records import AtomUpdate, Checkpoint

#: More rows than this are sent as statements of their own: a statement is compiled for each shape.
MOST: Final = 6
#: So many shapes are compiled with nothing but what is given; all others with every column.
SHAPES: Final = 100

#: What is empty in most moves, and is not sent when it is.
_MAYBE: Final = AtomUpdate._fields[3:]
_ALL: Final = (True,) * len(_MAYBE)
_MOVED: Final = ("atom", "old_state", "new_state", "at")
_ONE: Final = sa.literal_column("1", sa.Integer).label("done")


class _Shape(NamedTuple):
    """What a statement writes: the columns of each atom that have values, moves, perhaps the flow."""

    atoms: tuple[tuple[bool, ...], ...]
    moves: int
    flow: bool


class Guarded:
    """Statements for checkpoints of a few atoms and moves, each compiled once.

    Args:
        dialect: the database's dialect; its parameters must be written ``%s``.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._known: dict[_Shape, str] = {}

    def fits(self, cp: Checkpoint) -> bool:
        """Say whether a checkpoint can be one statement.

        Args:
            cp: the checkpoint.

        Returns:
            True for a few atoms and moves.
        """
        return 0 < len(cp.transitions) <= MOST and len(cp.atoms) <= MOST

    def statement(self, cp: Checkpoint, last: int, at: float) -> tuple[str, list[Any]]:
        """Make the statement of a checkpoint.

        Args:
            cp: the checkpoint.
            last: the number of the flow's last move.
            at: the time, in seconds since 1970.

        Returns:
            The SQL with ``$1`` and so on, and the values in that order.
        """
        flow, epoch, owner, state, meta, atoms, made = cp
        moved = state is not None or meta is not None
        given = tuple([tuple([value is not None for value in atom[3:]]) for atom in atoms])
        text = self._known.get(_Shape(given, len(made), moved))
        if text is None and len(self._known) >= SHAPES:
            given = (_ALL,) * len(atoms)
            text = self._known.get(_Shape(given, len(made), moved))
        if text is None:
            shape = _Shape(given, len(made), moved)
            text = self._known[shape] = self._compile(shape)
        values: list[Any] = [flow, epoch, owner, last]
        if moved:
            values += (state, meta, at)
        for (uuid, now, intention, *rest), there in zip(atoms, given, strict=True):
            values += (uuid, now, intention)
            values += [value for value, told in zip(rest, there, strict=True) if told]
        for move in made:
            values += move
        return text, values

    def _compile(self, shape: _Shape) -> str:
        held = (
            sa.select(flowdetails.c.uuid)
            .where(flowdetails.c.uuid == sa.bindparam("flow"), flowdetails.c.epoch == sa.bindparam("epoch"))
            .with_for_update()
            .cte("held")
        )
        parts = [
            *([_flow(held)] if shape.flow else ()),
            *(_atom(held, number, given) for number, given in enumerate(shape.atoms)),
            *(_move(held, number) for number in range(shape.moves)),
        ]
        # Each part touches one row and says so; where one does not, the sum is unknown.
        done = [sa.select(part.c.done).scalar_subquery() for part in parts]
        whole = sum(done[1:], done[0]) == sa.literal_column(str(len(parts)), sa.Integer)
        one, nothing = (sa.literal_column(word, sa.Integer) for word in "10")
        guard = sa.select(one.op("/")(sa.case((whole, one), else_=nothing)))
        compiled = guard.compile(dialect=self._dialect)
        number_of = {name: f"${number}" for number, name in enumerate(_names(shape), 1)}
        found = getattr(compiled, "positiontup", None) or ()
        if set(found) != set(number_of):
            raise AssertionError(f"{self._dialect.name} takes {found}, not {list(number_of)}: {compiled}")
        # Values go by number, as the server itself has it; one that stands twice is sent once.
        first, *rest = str(compiled).split("%s")
        return first + "".join(number_of[name] + part for name, part in zip(found, rest, strict=True))


def _names(shape: _Shape) -> list[str]:
    """Name the values of a statement, in the order in which they are sent."""
    names = ["flow", "epoch", "owner", "last"]
    names += ["f_state", "f_meta", "f_at"] if shape.flow else []
    for number, given in enumerate(shape.atoms):
        there = [name for name, told in zip(_MAYBE, given, strict=True) if told]
        names += [f"a{number}_{name}" for name in ("uuid", "state", "intention", *there)]
    return names + [f"m{number}_{name}" for number in range(shape.moves) for name in _MOVED]


def _flow(held: sa.CTE) -> sa.CTE:
    columns = flowdetails.c
    values: list[Any] = [
        (columns.state, sa.func.coalesce(_bound("f_state", columns.state), columns.state)),
        (columns.meta, sa.func.coalesce(_bound("f_meta", columns.meta), columns.meta)),
        (columns.updated_at, _bound("f_at", columns.updated_at)),
    ]
    mine = columns.uuid == sa.bindparam("flow")
    statement = flowdetails.update().where(mine, sa.exists(sa.select(held.c.uuid))).ordered_values(*values)
    return statement.returning(_ONE).cte("f")


def _atom(held: sa.CTE, number: int, given: tuple[bool, ...]) -> sa.CTE:
    columns = atomdetails.c
    told = {"state": True, "intention": True, **dict(zip(_MAYBE, given, strict=True))}
    values: list[Any] = [
        (columns[name], _bound(f"a{number}_{name}", columns[name]) if there else sa.null())
        for name, there in told.items()
    ]
    mine = columns.uuid == sa.bindparam(f"a{number}_uuid")
    statement = atomdetails.update().where(mine, sa.exists(sa.select(held.c.uuid))).ordered_values(*values)
    return statement.returning(_ONE).cte(f"a{number}")


def _move(held: sa.CTE, number: int) -> sa.CTE:
    columns = moves.c
    row = sa.select(
        sa.bindparam("last", type_=sa.BigInteger) + sa.literal_column(str(number + 1), sa.BigInteger),
        *(_bound(f"m{number}_{name}", columns[name]) for name in _MOVED),
        _bound("owner", columns.owner),
    ).select_from(held)
    into = ["id", *_MOVED, "owner"]
    return moves.insert().from_select(into, row).returning(_ONE).cte(f"m{number}")


def _bound(name: str, column: sa.Column[Any]) -> sa.BindParameter[Any]:
    return sa.bindparam(name, type_=column.type)


#: libpq takes text up to the first of these.
_END: Final = b"\0"


class _Line:
    """What is known of one connection: the names of its statements, and how to wait for its answers."""

    def __init__(self, pg: Any) -> None:
        self.names: dict[str, bytes] = {}
        self._count = itertools.count()
        self._poll = select.poll()
        self._socket = pg.socket

    def ask(self, pg: Any, text: str, given: list[bytes | None]) -> None:
        """Run a statement, prepared when it comes for the first time."""
        name = self.names.get(text)
        if name is None:
            name = b"stackl_flow_%d" % next(self._count)
            _check(pg.prepare(name, text.encode()))
            self.names[text] = name
        pg.send_query_prepared(name, given)
        self.wait(pg)
        first = pg.get_result()
        while pg.get_result() is not None:
            pass
        _check(first)

    def wait(self, pg: Any) -> None:
        """Wait until an answer is there."""
        poll = self._poll
        while pg.flush():
            poll.register(self._socket, select.POLLIN | select.POLLOUT)
            poll.poll()
            pg.consume_input()
        poll.register(self._socket, select.POLLIN)
        while pg.is_busy():
            poll.poll()
            pg.consume_input()


class Direct:
    """Runs statements on the connections of a dialect, each of which has to speak UTF-8."""

    def __init__(self) -> None:
        self._lines: WeakKeyDictionary[Any, _Line] = WeakKeyDictionary()

    def run(self, raw: Any, text: str, values: Iterable[Any]) -> None:
        """Run a statement that gives nothing of interest.

        Args:
            raw: psycopg's connection, outside any transaction.
            text: the statement, with libpq's own ``$1`` and so on.
            values: text, numbers and None.

        Raises:
            Error: as a cursor raises it.
        """
        pg = raw.pgconn
        given = [None if value is None else str(value).encode() for value in values]
        if _END in b"".join(filter(None, given)):
            raise psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
        line = self._lines.get(raw)
        if line is None:
            line = self._lines[raw] = _Line(pg)
        try:
            line.ask(pg, text, given)
        except psycopg.errors.InvalidSqlStatementName:
            # psycopg throws all prepared statements away after a rollback, also those that are not its own.
            del line.names[text]
            line.ask(pg, text, given)


def _check(result: Any) -> None:
    if result is None:
        raise psycopg.OperationalError("the connection is lost")
    if result.status in {ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK}:
        return
    state = (result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b"").decode()
    words = result.error_message.decode(errors="replace").strip()
    try:
        raise psycopg.errors.lookup(state)(words)
    except KeyError:
        raise psycopg.OperationalError(words) from None
