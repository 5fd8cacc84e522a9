"""A connection to a database: rows by the driver's own cursor, in transactions that we begin and end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import sqlalchemy as sa

from stackl_flow.persistence.backends.sql import schema, statements
from stackl_flow.persistence.backends.sql.again import Again
from stackl_flow.persistence.backends.sql.dialect import SQLDialect
from stackl_flow.persistence.backends.sql.link import Link
from stackl_flow.persistence.backends.sql.statements import Statements
from stackl_flow.persistence.backends.sql.tables import logbooks
from stackl_flow.persistence.base import Backend, Connection
from stackl_flow.persistence.records import (
    AtomRecord,
    BookRecord,
    Changes,
    Checkpoint,
    FlowRecord,
    Transition,
)
from stackl_flow.persistence.rows import lost, missing


class SQLConnection(Connection):
    """Reads and writes the tables of a database.

    Args:
        backend: the place this connection leads to.
        engine: gives connections of the driver.
        dialect: the database's own ways.
        prepared: the statements, compiled for it.
    """

    def __init__(
        self, backend: Backend, engine: sa.Engine, dialect: SQLDialect, prepared: Statements
    ) -> None:
        super().__init__(backend)
        self._engine = engine
        self._dialect = dialect
        self._sql = prepared
        self._link = Link(engine, dialect)
        self._again = Again(dialect, backend.clock)

    def close(self) -> None:
        """Close the driver's connection; the next verb opens another."""
        self._link.close()

    def upgrade(self) -> None:
        """Bring the tables to the version of this code; nothing happens if they are there.

        Raises:
            IncompatibleVersion: a newer version of this library made them.
            StorageFailure: the database cannot be written, or holds another program's tables of these names.
        """
        link = self._link
        with link.errors():
            if not link.is_current(create=True):
                with self._dialect.lock():
                    schema.migrate(
                        self._engine, self._dialect.name, transactional_ddl=self._dialect.transactional_ddl
                    )

    def validate(self) -> None:
        """Check that the database is there, whole and of the version of this code.

        Raises:
            IncompatibleVersion: a newer version of this library made it.
            StorageFailure: it cannot be used; the message tells what to do.
        """
        link = self._link
        with link.errors():
            link.close()
            link.ready()
            self._dialect.check(link.rows)

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[None]:
        with ExitStack() as stack:
            if write:
                # Once it has begun, nobody can lock this writer out any more.
                self._again(partial(stack.enter_context, self._link.writing))
            else:
                stack.enter_context(self._link.reading)
            yield

    def _select(self, ask: Callable[[Collection[str]], sa.Select[Any]], **given: Any) -> Iterable[Any]:
        return self._link.rows(*self._sql.question(ask, **given))

    def _read_books(self, uuid: str | None = None) -> list[BookRecord]:
        return [BookRecord._make(row) for row in self._select(statements.select_books, uuid=uuid)]

    def _read_flows(
        self,
        uuid: str | None = None,
        book_uuid: str | None = None,
        state: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[FlowRecord]:
        ask = statements.select_newest_flows if newest_first else statements.select_flows
        rows = self._select(ask, uuid=uuid, book_uuid=book_uuid, state=state, limit=limit)
        return [FlowRecord._make(row) for row in rows]

    def _read_atoms(self, flow_uuid: str) -> Iterable[AtomRecord]:
        return map(AtomRecord._make, self._select(statements.select_atoms, flow_uuid=flow_uuid))

    def _read_atom(self, uuid: str) -> AtomRecord | None:
        return next((AtomRecord._make(row) for row in self._select(statements.select_atoms, uuid=uuid)), None)

    def _read_transitions(self, flow_uuid: str, after: int, limit: int | None) -> list[Transition]:
        rows = self._select(statements.select_transitions, flow_uuid=flow_uuid, after=after, limit=limit)
        return [Transition._make(row[1:]) for row in rows]

    def _apply(self, changes: Changes) -> None:
        many, sql = self._link.many, self._sql
        for book in changes.books:
            if not many(sql.book, [(*book[1:], book.uuid)]):
                many(sql.new_book, [book])
        many(sql.new_flow, changes.new_flows)
        many(sql.flow, [(row.state, row.meta, row.updated_at, row.uuid) for row in changes.flows])
        many(sql.new_atom, changes.new_atoms)
        many(sql.atom, [(*row[4:], row.uuid) for row in changes.atoms])

    def _set_owner(self, flow_uuid: str, epoch: int, owner: str, at: float) -> None:
        self._link.many(self._sql.own, [(epoch, owner, at, flow_uuid)])

    def _delete_book(self, uuid: str) -> bool:
        run = statements.prepare(self._engine.dialect, logbooks.delete().where(logbooks.c.uuid == uuid))
        return bool(self._link.many(run.sql, [run.values]))

    def _delete_all(self) -> None:
        run = statements.prepare(self._engine.dialect, logbooks.delete())
        self._link.many(run.sql, [run.values])

    def _land(self, cp: Checkpoint) -> None:
        self._again(partial(self._land_once, cp))

    def _land_once(self, cp: Checkpoint) -> None:
        link, sql = self._link, self._sql
        with link.writing:
            cursor = link.cursor
            flow, epoch, owner, state, meta, atoms, moves = cp
            cursor.execute(sql.epoch, (flow,))
            found = cursor.fetchone()
            if found is None:
                raise missing("flow", flow)
            if found[0] != epoch:
                raise lost(flow, epoch, *found[:2])
            if atoms:
                cursor.executemany(sql.move_atom, [(*atom[1:], atom[0]) for atom in atoms])
                if cursor.rowcount != len(atoms):
                    raise missing("atom", ", ".join(atom.uuid for atom in atoms))
            if state is not None or meta is not None:
                cursor.execute(sql.move_flow, (state, meta, self._backend.clock.now(), flow))
            if moves:
                first = (found[2] or 0) + 1
                rows = [(flow, seq, *move, owner) for seq, move in enumerate(moves, first)]
                cursor.executemany(sql.add_transition, rows)
