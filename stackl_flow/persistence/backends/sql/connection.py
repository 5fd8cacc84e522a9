"""A connection to a database: rows by the driver's own cursor, in transactions that we begin and end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.persistence.backends.sql import statements, tables
from stackl_flow.persistence.backends.sql.checkpoint import Filing, Landing
from stackl_flow.persistence.backends.sql.dialect import SQLDialect
from stackl_flow.persistence.backends.sql.session import Again, Link, Source
from stackl_flow.persistence.backends.sql.statements import Statements
from stackl_flow.persistence.backends.sql.tables import SPAN, atomdetails, logbooks, moves
from stackl_flow.persistence.base import Backend, Connection
from stackl_flow.persistence.models import AtomDetail
from stackl_flow.persistence.records import (
    AtomRecord,
    BookRecord,
    Changes,
    Checkpoint,
    FlowRecord,
    Transition,
)

P = ParamSpec("P")
T = TypeVar("T")


def _whole(verb: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """Make a verb that is done again as a whole when the server was lost in the middle, or undid it."""

    @wraps(verb)
    def run(self: SQLConnection, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._do(partial(verb, self, *args, **kwargs))

    return run


class SQLConnection(Connection):
    """Reads and writes the tables of a database.

    Args:
        backend: the place this connection leads to.
        engine: for what SQLAlchemy does itself.
        source: gives connections of the driver.
        dialect: the database's own ways.
        prepared: the statements, compiled for it.
        link: the driver's connection, if it is not one of the source's.
    """

    def __init__(
        self,
        backend: Backend,
        engine: sa.Engine,
        source: Source,
        dialect: SQLDialect,
        prepared: Statements,
        link: Link | None = None,
    ) -> None:
        super().__init__(backend)
        self._engine = engine
        self._dialect = dialect
        self._sql = prepared
        self._link = link or Link(source, dialect, engine.dialect.loaded_dbapi.Error)
        self._again = Again(dialect, backend.clock)
        self._writes = False
        landing = Landing if dialect.is_server else Filing
        self._landing = landing(self._link, dialect, prepared, self._again, backend.clock.now)

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
                    tables.migrate(self._engine, self._dialect)

    def validate(self) -> None:
        """Check that the database is there, whole and of the version of this code.

        Raises:
            IncompatibleVersion: a newer version of this library made it.
            StorageFailure: it cannot be used; the message tells what to do.
        """
        link = self._link
        with link.errors():
            link.close(lost=self._dialect.is_server)  # that a new one looks anew
            link.ready()
            self._dialect.check(link.rows)

    # These may be done twice: the second time, what they write is there already.
    clear_all = _whole(Connection.clear_all)
    save_logbook = _whole(Connection.save_logbook)
    get_logbook = _whole(Connection.get_logbook)
    get_logbooks = _whole(Connection.get_logbooks)
    get_flows_for_book = _whole(Connection.get_flows_for_book)
    get_flow_details = _whole(Connection.get_flow_details)
    update_flow_details = _whole(Connection.update_flow_details)
    get_flow_record = _whole(Connection.get_flow_record)
    list_flow_records = _whole(Connection.list_flow_records)
    take_ownership = _whole(Connection.take_ownership)
    get_history = _whole(Connection.get_history)
    get_atoms_for_flow = _whole(Connection.get_atoms_for_flow)
    get_atom_details = _whole(Connection.get_atom_details)
    update_atom_details = _whole(Connection.update_atom_details)

    def destroy_logbook(self, book_uuid: str) -> None:
        """Delete a book and all that is in it.

        Args:
            book_uuid: its identity.

        Raises:
            NotFound: there is none.
        """
        self._link.in_doubt = False
        try:
            self._do(partial(super().destroy_logbook, book_uuid))
        except exc.NotFound:
            # It is gone as it should be, if an attempt landed whose answer was lost.
            if not self._link.in_doubt:
                raise

    def add_atoms(self, flow_uuid: str, details: Iterable[AtomDetail], epoch: int | None = None) -> None:
        """Store many new atoms of a flow at once.

        Args:
            flow_uuid: the flow.
            details: the atoms.
            epoch: the epoch of the caller, checked when given.

        Raises:
            NotFound: there is no such flow.
            OwnershipLost: somebody else owns the flow now.
        """
        atoms: Sequence[AtomDetail] = list(details)
        self._link.in_doubt = False
        try:
            self._do(partial(super().add_atoms, flow_uuid, atoms, epoch))
        except exc.Duplicate:
            if not self._link.in_doubt:
                raise
            # They are there, all of them, if an attempt landed whose answer was lost.
            there = {record.uuid for record in self.get_atoms_for_flow(flow_uuid)}
            if not there.issuperset(atom.uuid for atom in atoms):
                raise

    def _do(self, work: Callable[[], T]) -> T:
        return self._again(work) if self._dialect.is_server else work()

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[None]:
        with ExitStack() as stack:
            if write and not self._dialect.is_server:
                # Once it has begun, nobody can lock this writer out any more.
                self._again(partial(stack.enter_context, self._link.writing))
            else:
                stack.enter_context(self._link.writing if write else self._link.reading)
            self._writes = write
            yield

    def _select(self, ask: Callable[[Collection[str]], sa.Select[Any]], **given: Any) -> Iterable[Any]:
        return self._link.rows(*self._sql.question(ask, **given))

    @property
    def _lock(self) -> bool | None:
        # What is read in order to be written stays as it is until that is done.
        return (self._writes and self._dialect.is_server) or None

    def _read_books(self, uuid: str | None = None) -> list[BookRecord]:
        return [
            BookRecord._make(row) for row in self._select(statements.select_books, uuid=uuid, lock=self._lock)
        ]

    def _read_flows(
        self,
        uuid: str | None = None,
        book_uuid: str | None = None,
        state: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[FlowRecord]:
        ask = statements.select_newest_flows if newest_first else statements.select_flows
        given = {"uuid": uuid, "book_uuid": book_uuid, "state": state, "limit": limit}
        rows = self._select(ask, **given, lock=self._lock)
        return [FlowRecord._make(row) for row in rows]

    def _read_atoms(self, flow_uuid: str) -> Iterable[AtomRecord]:
        return map(AtomRecord._make, self._select(statements.select_atoms, flow_uuid=flow_uuid))

    def _read_atom(self, uuid: str) -> AtomRecord | None:
        return next((AtomRecord._make(row) for row in self._select(statements.select_atoms, uuid=uuid)), None)

    def _read_transitions(self, flow_uuid: str, after: int, limit: int | None) -> list[Transition]:
        rows = self._select(statements.select_transitions, flow_uuid=flow_uuid, after=after, limit=limit)
        return [Transition._make(row) for row in rows]

    def _apply(self, changes: Changes) -> None:
        link, sql = self._link, self._sql
        many = link.many
        for book in changes.books:
            if not many(sql.book, [(*book[1:], book.uuid)]):
                many(sql.new_book, [book])
        many(sql.new_flow, changes.new_flows)
        if self._dialect.reuses_keys:
            # Of a flow that somebody deleted by hand, moves may be left under the number that is given again.
            self._forget_moves(link.rows(sql.number, (row.uuid,))[0] for row in changes.new_flows)
        many(sql.flow, [(row.state, row.meta, row.updated_at, row.uuid) for row in changes.flows])
        if changes.new_atoms:
            self._dialect.add(link.cursor, sql.new_atom, atomdetails, changes.new_atoms)
        many(sql.atom, [(*row[4:], row.uuid) for row in changes.atoms])

    def _set_owner(self, flow_uuid: str, epoch: int, owner: str, at: float) -> None:
        self._link.many(self._sql.own, [(epoch, owner, at, flow_uuid)])
        self._landing.prepare(flow_uuid)

    def _forget_moves(self, flows: Iterable[Sequence[int]]) -> None:
        ranges = [(number * SPAN, number * SPAN + SPAN - 1) for (number,) in flows]
        self._link.many(self._sql.forget_moves, ranges)

    def _delete_book(self, uuid: str) -> bool:
        # The flows are locked, so that none of them gets another move meanwhile.
        self._forget_moves(self._link.rows(self._sql.flows_of_book, (uuid,)))
        run = statements.prepare(self._engine.dialect, logbooks.delete().where(logbooks.c.uuid == uuid))
        return bool(self._link.many(run.sql, [run.values]))

    def _delete_all(self) -> None:
        for table in (logbooks, moves):
            run = statements.prepare(self._engine.dialect, table.delete())
            self._link.many(run.sql, [run.values])

    def _land(self, cp: Checkpoint) -> None:
        self._landing(cp)
