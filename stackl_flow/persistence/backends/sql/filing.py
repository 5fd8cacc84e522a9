"""A checkpoint in a database without a server: on the shortest road to the driver.

A flush of the disk leaves the processor's caches cold, so that what runs between two of them takes longer
than elsewhere. Hence few frames, a handful of statements, and no question about what is known already.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from stackl_flow import exceptions as exc
from stackl_flow.persistence.backends.sql.again import Again
from stackl_flow.persistence.backends.sql.dialect import SQLDialect
from stackl_flow.persistence.backends.sql.link import Link
from stackl_flow.persistence.backends.sql.statements import Statements
from stackl_flow.persistence.records import Checkpoint
from stackl_flow.persistence.rows import lost, missing

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
            raise missing("flow", flow)
        if found[0] != epoch:
            raise lost(flow, epoch, *found[:2])
        if atoms:
            cursor.executemany(sql.move_atom, [(*atom[1:], atom[0]) for atom in atoms])
            if cursor.rowcount != len(atoms):
                raise missing("atom", ", ".join(atom.uuid for atom in atoms))
        if state is not None or meta is not None:
            cursor.execute(sql.move_flow, (state, meta, self._now(), flow))
        if moves:
            rows = []
            for atom, old, new, at in moves:
                last += 1
                rows.append((last, atom, old, new, at, owner))
            cursor.executemany(sql.add_move, rows)
        return last
