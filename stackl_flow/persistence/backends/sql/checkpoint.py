"""A checkpoint on a server: sent in one go, looked at, committed; it lands once, whatever is lost on the way.

The flow's row is locked first, so that whoever takes the flow over waits until the checkpoint is in, or the
checkpoint meets the new epoch. The owner is the only one who writes the flow's history, so that it knows the
number of its next move. Where the database can do it all by one statement, that is one trip to the server.
Else all statements go together, and the commit goes when their answers have been looked at: two trips.

When the answer to a commit is lost, the next attempt locks the row, which waits for the lost transaction to
end, and looks whether the moves are there, under their numbers.

A checkpoint in a database without a server: on the shortest road to the driver.

A flush of the disk leaves the processor's caches cold, so that what runs between two of them takes longer
than elsewhere. Hence few frames, a handful of statements, and no question about what is known already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow.persistence.backends.sql.dialect import SQLDialect
from stackl_flow.persistence.backends.sql.session import Again, Link
from stackl_flow.persistence.backends.sql.statements import Statements
from stackl_flow.persistence.records import Checkpoint, not_found, ownership_lost


class Landing:
    """Lands checkpoints on a server.

    Args:
        link: the driver's connection.
        dialect: the database's own ways.
        prepared: the statements, compiled for it.
        again: tries again what may pass.
        now: tells the time, in seconds since 1970.
    """

    def __init__(
        self, link: Link, dialect: SQLDialect, prepared: Statements, again: Again, now: Callable[[], float]
    ) -> None:
        self._link = link
        self._dialect = dialect
        self._sql = prepared
        self._again = again
        self._now = now
        # The flow whose checkpoint landed last, and the number of its last move.
        self._known: tuple[str, int] = ("", 0)

    def __call__(self, cp: Checkpoint) -> None:
        """Land a checkpoint, once.

        Args:
            cp: the checkpoint.

        Raises:
            OwnershipLost: somebody else owns the flow now.
            NotFound: the flow, or an atom in the checkpoint, is not stored.
            StorageFailure: the server is away, or refuses it.
        """
        attempt = partial(self._once, cp, [])
        try:
            self._again(attempt)
        except exc.Duplicate:
            # The same owner wrote through another connection: the number that we knew was taken.
            self._again(attempt)

    def prepare(self, flow_uuid: str) -> None:
        """Learn the number of a flow's last move, so that its first checkpoint need not ask for it.

        Args:
            flow_uuid: the flow, which is locked.
        """
        self._known = (flow_uuid, self._last(flow_uuid))

    def _once(self, cp: Checkpoint, in_doubt: list[int]) -> None:
        flow, (known, last) = cp.flow_uuid, self._known
        self._known = ("", 0)
        with self._link.plain:
            if known == flow and not in_doubt:
                in_doubt[:] = [last]
                if self._dialect.at_once(self._link.cursor, cp, last, self._now()):
                    self._known = (flow, last + len(cp.transitions))
                    return
                in_doubt.clear()
            if known == flow and not in_doubt:
                found, moved = self._all_at_once(cp, last)
            else:
                found = self._hold(flow)
                last = self._last(flow)
                if in_doubt and self._is_there(cp, in_doubt[0]):
                    return
                _check(cp, found)
                moved = self._write(cp, last)
            _check(cp, found)
            if moved != len(cp.atoms):
                raise not_found("atom", ", ".join(atom.uuid for atom in cp.atoms))
            # From here on it may land without our hearing of it.
            in_doubt[:] = [last]
        self._known = (flow, last + len(cp.transitions))

    def _all_at_once(self, cp: Checkpoint, last: int) -> tuple[Any, int]:
        link = self._link
        cursor, raw = link.cursor, link.raw
        with self._dialect.together(raw):
            for statement in self._dialect.begin_write:
                cursor.execute(statement)
            cursor.execute(self._sql.lock, (cp.flow_uuid,))
            atoms = self._send(cp, last)
        return cursor.fetchone(), _touched(atoms)

    def _hold(self, flow: str) -> Any:
        cursor = self._link.cursor
        for statement in self._dialect.begin_write:
            cursor.execute(statement)
        cursor.execute(self._sql.lock, (flow,))
        return cursor.fetchone()

    def _last(self, flow: str) -> int:
        # A question of its own: what the lock waited for is seen only by what is asked after it.
        found = self._link.rows(self._sql.last, (flow,))
        return int(found[0][0]) if found else 0

    def _is_there(self, cp: Checkpoint, before: int) -> bool:
        if not cp.transitions:
            return False  # nothing but values, which may be written twice
        found = self._link.rows(self._sql.at_number, (before + len(cp.transitions),))
        return [tuple(row) for row in found] == [(*cp.transitions[-1], cp.owner)]

    def _write(self, cp: Checkpoint, last: int) -> int:
        with self._dialect.together(self._link.raw):
            atoms = self._send(cp, last)
        return _touched(atoms)

    def _send(self, cp: Checkpoint, last: int) -> Any:
        raw, sql = self._link.raw, self._sql
        flow, _, owner, state, meta, atoms, moves = cp
        moved = None
        if atoms:
            moved = raw.cursor()
            _many(moved, sql.move_atom, [(*atom[1:], atom[0]) for atom in atoms])
        if state is not None or meta is not None:
            raw.cursor().execute(sql.move_flow, (state, meta, self._now(), flow))
        if moves:
            rows = [(number, *move, owner) for number, move in enumerate(moves, last + 1)]
            _many(raw.cursor(), sql.add_move, rows)
        return moved


def _many(cursor: Any, sql: str, rows: Sequence[Sequence[Any]]) -> None:
    if len(rows) == 1:
        cursor.execute(sql, rows[0])  # less to go through
    else:
        cursor.executemany(sql, rows)


def _touched(cursor: Any) -> int:
    return 0 if cursor is None else int(cursor.rowcount)


def _check(cp: Checkpoint, found: Any) -> None:
    if found is None:
        raise not_found("flow", cp.flow_uuid)
    if found[0] != cp.epoch:
        raise ownership_lost(cp.flow_uuid, cp.epoch, *found)


_NOBODY: Final = ("", 0, 0)


class Filing:
    """Lands checkpoints in a file.

    Args:
        link: the driver's connection.
        dialect: the database's own ways.
        prepared: the statements, compiled for it.
        again: tries again what may pass.
        now: tells the time, in seconds since 1970.
    """

    def __init__(
        self, link: Link, dialect: SQLDialect, prepared: Statements, again: Again, now: Callable[[], float]
    ) -> None:
        self._link = link
        self._sql = prepared
        self._again = again
        self._now = now
        self._lock = dialect.lock()
        self._begin, self._end = dialect.begin_write, dialect.end_write
        # The flow whose checkpoint landed last, its epoch, and the number of its last move: as long as the
        # epoch holds, nobody else adds to the history of that flow.
        self._known = _NOBODY

    def __call__(self, cp: Checkpoint) -> None:
        """Land a checkpoint.

        Args:
            cp: the checkpoint.

        Raises:
            OwnershipLost: somebody else owns the flow now.
            NotFound: the flow, or an atom in the checkpoint, is not stored.
            StorageFailure: it could not be written; nothing of it was.
        """
        try:
            self._land(cp)
        except exc.Duplicate:
            # The same owner wrote through another connection: the number that we knew was taken.
            self._again(partial(self._land, cp))
        except exc.StorageFailure as error:
            self._again.after(error, partial(self._land, cp))

    def prepare(self, flow_uuid: str) -> None:
        """Do nothing: the first checkpoint asks for the number of the last move along with the epoch.

        Args:
            flow_uuid: the flow.
        """

    def _land(self, cp: Checkpoint) -> None:
        link = self._link
        with self._lock:
            try:
                link.ready()
                if cp.flow_state is not None:
                    link.look()  # when a flow begins and when it rests: each time would cost too much
                cursor = link.cursor
                for statement in self._begin:
                    cursor.execute(statement)
                last = self._write(cp)
                if self._end:
                    cursor.execute(self._end)
                else:
                    link.commit()
            except BaseException as error:
                self._known = _NOBODY
                # An interrupt may come when the transaction has begun already.
                if link.cursor is not None:
                    link.undo()
                if link.is_foreign(error):
                    raise link.translated(error) from error
                raise
        self._known = (cp.flow_uuid, cp.epoch, last)

    def _write(self, cp: Checkpoint) -> int:
        """Write all of a checkpoint and return the number of the flow's last move."""
        cursor, sql = self._link.cursor, self._sql
        flow, epoch, owner, state, meta, atoms, moves = cp
        known, held, last = self._known
        if known == flow and held == epoch:
            found = cursor.execute(sql.lock, (flow,)).fetchone()
        else:
            found = cursor.execute(sql.epoch, (flow,)).fetchone()
            last = 0 if found is None else found[2]
        if found is None:
            raise not_found("flow", flow)
        if found[0] != epoch:
            raise ownership_lost(flow, epoch, *found[:2])
        if atoms:
            cursor.executemany(sql.move_atom, [(*atom[1:], atom[0]) for atom in atoms])
            if cursor.rowcount != len(atoms):
                raise not_found("atom", ", ".join(atom.uuid for atom in atoms))
        if state is not None or meta is not None:
            cursor.execute(sql.move_flow, (state, meta, self._now(), flow))
        if moves:
            rows = []
            for atom, old, new, at in moves:
                last += 1
                rows.append((last, atom, old, new, at, owner))
            cursor.executemany(sql.add_move, rows)
        return last
