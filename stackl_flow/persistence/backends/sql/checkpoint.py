"""Writes a checkpoint: one engine step, in one transaction, checked against the owner's epoch.

The owner of a flow is the only writer of its history, so it knows the number of its next transition without a
query. A second connection of the same owner may have taken that number: the insert then fails as a duplicate,
and the checkpoint is written again with the number that is stored.

On a server: the flow's row is locked first, so that a process that takes ownership waits until the checkpoint
is committed, or the checkpoint finds the new epoch. Where one statement can do all of it, it takes one round
trip. Else all statements are sent together, and the commit after their results: two round trips. When the
outcome of a commit is unknown, the next attempt locks the row, which waits for the lost transaction to end,
and checks whether the transitions are stored under their numbers. A new connection may lead to a server that
lacks commits, such as a replica that was promoted before it had received them. So the first checkpoint on it
checks that what was written before is still there, and fails otherwise.

In a local file: by the shortest way to the driver. A disk flush leaves the processor's caches cold, so that
what runs between two of them takes longer than elsewhere. Hence few frames, a handful of statements, and no
query for what is known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Protocol

from stackl_flow import exceptions as exc
from stackl_flow.databases import Database, Retrying
from stackl_flow.persistence.backends.sql.session import Session
from stackl_flow.persistence.backends.sql.statements import Statements
from stackl_flow.persistence.records import Checkpoint, lost_commits, not_found, ownership_lost


class SingleStatement(Protocol):
    """Writes a whole checkpoint by one statement, where a database can do that."""

    def write(self, cursor: Any, cp: Checkpoint, last: int, at: float) -> bool:
        """Write and commit a checkpoint.

        Args:
            cursor: the driver's cursor, outside any transaction.
            cp: the checkpoint.
            last: the id of the flow's last transition.
            at: the current time, in seconds since the epoch.

        Returns:
            Whether it was written; if not, nothing of it was.
        """


class ServerCheckpointWriter:
    """Writes checkpoints on a server; each is applied once, even if a connection is lost.

    Args:
        session: the driver's connection.
        database: the database.
        statements: the statements, compiled for it.
        retrying: runs a transaction again after errors that pass.
        now: returns the current time, in seconds since the epoch.
        single_statement: writes by one statement, if the database can.
    """

    def __init__(
        self,
        session: Session,
        database: Database,
        statements: Statements,
        retrying: Retrying,
        now: Callable[[], float],
        single_statement: SingleStatement | None,
    ) -> None:
        self._session = session
        self._database = database
        self._sql = statements
        self._retrying = retrying
        self._now = now
        self._single_statement = single_statement
        # The flow that was written last, and the id of its last transition.
        self._last_written: tuple[str, int] = ("", 0)
        # The connection that wrote it.
        self._raw: Any = None
        # The flow whose commits were confirmed, the id of its last transition, and that transition if known.
        self._confirmed: tuple[str, int, tuple[Any, ...] | None] = ("", 0, None)

    def __call__(self, cp: Checkpoint) -> None:
        """Write a checkpoint.

        Raises:
            OwnershipLost: the epoch is not the owner's.
            NotFound: the flow, or an atom in the checkpoint, is not stored.
            StorageFailure: it could not be written, or the database has lost earlier commits; nothing of it
                was written.
        """
        attempt = partial(self._attempt, cp, [])
        try:
            self._retrying(attempt)
        except exc.Duplicate:
            # The same owner wrote through another connection.
            self._retrying(attempt)

    def prepare(self, flow_uuid: str) -> None:
        """Read the id of a flow's last transition, so that its first checkpoint need not.

        Args:
            flow_uuid: the flow, whose row is locked.
        """
        last = self._read_last(flow_uuid)
        self._last_written, self._raw = (flow_uuid, last), self._session.raw
        self._confirmed = (flow_uuid, last, None)

    def _attempt(self, cp: Checkpoint, sent: list[int]) -> None:
        """Try once; ``sent`` holds the last id before a commit whose outcome is not known yet."""
        flow, (known, last) = cp.flow_uuid, self._last_written
        self._last_written = ("", 0)
        with self._session.unbegun:
            if self._raw is not self._session.raw:
                known = ""
            if known == flow and not sent and self._single_statement is not None:
                sent[:] = [last]
                if self._single_statement.write(self._session.cursor, cp, last, self._now()):
                    self._confirm(cp, last)
                    return
                sent.clear()
            if known == flow and not sent:
                owner, updated = self._write_together(cp, last)
            else:
                owner = self._lock_flow(flow)
                last = self._read_last(flow)
                if sent and self._was_applied(cp, sent[0]):
                    return
                _check_owner(cp, owner)
                self._check_nothing_lost(cp, last)
                updated = self._write(cp, last)
            _check_owner(cp, owner)
            if updated != len(cp.atoms):
                raise not_found("atom", ", ".join(atom.uuid for atom in cp.atoms))
            # From here on the commit may be applied although its answer is lost.
            sent[:] = [last]
        self._confirm(cp, last)

    def _confirm(self, cp: Checkpoint, last: int) -> None:
        """Remember what was written after the transition with an id."""
        flow, transitions = cp.flow_uuid, cp.transitions
        self._last_written, self._raw = (flow, last + len(transitions)), self._session.raw
        if transitions:
            self._confirmed = (flow, last + len(transitions), transitions[-1].columns)

    def _check_nothing_lost(self, cp: Checkpoint, last: int) -> None:
        """Check that the last transition that was confirmed is stored; the flow's row is locked."""
        flow, confirmed, columns = self._confirmed
        if flow != cp.flow_uuid:
            return
        if last >= confirmed and columns is not None:
            rows = self._session.query(self._sql.select_transition, (confirmed,))
            if [tuple(row) for row in rows] == [columns]:
                return
        elif last >= confirmed:
            return
        raise lost_commits(cp.flow_uuid)

    def _write_together(self, cp: Checkpoint, last: int) -> tuple[Any, int]:
        session = self._session
        cursor, raw = session.cursor, session.raw
        with self._database.pipeline(raw):
            for statement in self._database.begin_write:
                cursor.execute(statement)
            cursor.execute(self._sql.lock_flow, (cp.flow_uuid,))
            atoms = self._send(cp, last)
        return cursor.fetchone(), _row_count(atoms)

    def _lock_flow(self, flow: str) -> Any:
        cursor = self._session.cursor
        for statement in self._database.begin_write:
            cursor.execute(statement)
        cursor.execute(self._sql.lock_flow, (flow,))
        return cursor.fetchone()

    def _read_last(self, flow: str) -> int:
        # A query of its own: only a query after the lock sees what the lock waited for.
        rows = self._session.query(self._sql.select_last_id, (flow,))
        return int(rows[0][0]) if rows else 0

    def _was_applied(self, cp: Checkpoint, before: int) -> bool:
        if not cp.transitions:
            return False  # only values, which may be written twice
        rows = self._session.query(self._sql.select_transition, (before + len(cp.transitions),))
        return [tuple(row) for row in rows] == [cp.transitions[-1].columns]

    def _write(self, cp: Checkpoint, last: int) -> int:
        with self._database.pipeline(self._session.raw):
            atoms = self._send(cp, last)
        return _row_count(atoms)

    def _send(self, cp: Checkpoint, last: int) -> Any:
        raw, sql = self._session.raw, self._sql
        cursor = None
        if cp.atoms:
            cursor = raw.cursor()
            _execute_many(cursor, sql.update_atom, [(*atom[1:], atom[0]) for atom in cp.atoms])
        if cp.changes_flow:
            values = (cp.flow_state, cp.flow_meta, self._now(), int(bool(cp.inputs)), cp.flow_uuid)
            raw.cursor().execute(sql.update_flow_state, values)
        for statement, others in sql.other_rows(cp):
            if others:
                _execute_many(raw.cursor(), statement, others)
        if cp.transitions:
            rows = [(number, *row.columns) for number, row in enumerate(cp.transitions, last + 1)]
            _execute_many(raw.cursor(), sql.insert_transition, rows)
        return cursor


def _execute_many(cursor: Any, sql: str, rows: Sequence[Sequence[Any]]) -> None:
    if len(rows) == 1:
        cursor.execute(sql, rows[0])  # faster than executemany
    else:
        cursor.executemany(sql, rows)


def _row_count(cursor: Any) -> int:
    return 0 if cursor is None else int(cursor.rowcount)


def _check_owner(cp: Checkpoint, owner: Any) -> None:
    if owner is None:
        raise not_found("flow", cp.flow_uuid)
    if owner[0] < cp.epoch:
        raise lost_commits(cp.flow_uuid)
    if owner[0] != cp.epoch:
        raise ownership_lost(cp.flow_uuid, cp.epoch, *owner)


_NOTHING_WRITTEN: Final = ("", 0, 0)


class LocalCheckpointWriter:
    """Writes checkpoints in a file, or in a transaction of the caller.

    Args:
        session: the driver's connection.
        database: the database.
        statements: the statements, compiled for it.
        retrying: runs a transaction again after errors that pass.
        now: returns the current time, in seconds since the epoch.
    """

    def __init__(
        self,
        session: Session,
        database: Database,
        statements: Statements,
        retrying: Retrying,
        now: Callable[[], float],
    ) -> None:
        self._session = session
        self._sql = statements
        self._retrying = retrying
        self._now = now
        self._lock = database.lock()
        self._begin, self._end = database.begin_write, database.end_write
        # The flow that was written last, its epoch, and the id of its last transition: as long as the epoch
        # holds, only this writer adds to the history of that flow.
        self._last_written = _NOTHING_WRITTEN

    def __call__(self, cp: Checkpoint) -> None:
        """Write a checkpoint.

        Raises:
            OwnershipLost: the epoch is not the owner's.
            NotFound: the flow, or an atom in the checkpoint, is not stored.
            StorageFailure: it could not be written; nothing of it was.
        """
        try:
            self._attempt(cp)
        except exc.Duplicate:
            # The same owner wrote through another connection.
            self._retrying(partial(self._attempt, cp))
        except exc.StorageFailure as error:
            self._retrying.after(error, partial(self._attempt, cp))

    def prepare(self, flow_uuid: str) -> None:
        """Do nothing: the first checkpoint reads the last id along with the epoch."""

    def _attempt(self, cp: Checkpoint) -> None:
        session = self._session
        with self._lock:
            try:
                session.ensure_open()
                if cp.flow_state is not None:
                    session.check_identity()  # when a flow starts and stops: every time would cost too much
                cursor = session.cursor
                for statement in self._begin:
                    cursor.execute(statement)
                last = self._write(cp)
                if self._end:
                    cursor.execute(self._end)
                else:
                    session.commit()
            except BaseException as error:
                self._last_written = _NOTHING_WRITTEN
                # An interrupt may arrive when the transaction has begun.
                if session.cursor is not None:
                    session.rollback()
                if session.is_driver_error(error):
                    raise session.translate(error) from error
                raise
        self._last_written = (cp.flow_uuid, cp.epoch, last)

    def _write(self, cp: Checkpoint) -> int:
        """Write all of a checkpoint and return the id of the flow's last transition."""
        cursor, sql = self._session.cursor, self._sql
        flow, epoch, state, meta, atoms, transitions, values, attempts, inputs = cp
        known, known_epoch, last = self._last_written
        if known == flow and known_epoch == epoch:
            found = cursor.execute(sql.lock_flow, (flow,)).fetchone()
        else:
            found = cursor.execute(sql.lock_flow_with_last_id, (flow,)).fetchone()
            last = 0 if found is None else found[2]
        if found is None:
            raise not_found("flow", flow)
        if found[0] != epoch:
            raise ownership_lost(flow, epoch, *found[:2])
        if atoms:
            cursor.executemany(sql.update_atom, [(*atom[1:], atom[0]) for atom in atoms])
            if cursor.rowcount != len(atoms):
                raise not_found("atom", ", ".join(atom.uuid for atom in atoms))
        if state is not None or meta is not None or inputs:
            cursor.execute(sql.update_flow_state, (state, meta, self._now(), int(bool(inputs)), flow))
        if values or attempts or inputs:
            for statement, others in sql.other_rows(cp):
                cursor.executemany(statement, others)
        if transitions:
            rows = [(number, *row[1:]) for number, row in enumerate(transitions, last + 1)]
            cursor.executemany(sql.insert_transition, rows)
        return int(last) + len(transitions)
