"""A connection to an SQL database: rows through the driver's cursor, in transactions begun and ended here."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from typing import Any, Concatenate, Final, NamedTuple, ParamSpec, TypeVar

import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.databases import Database, ErrorKind, Retrying, RetryPolicy
from stackl_flow.persistence.backends.sql import statements, tables
from stackl_flow.persistence.backends.sql.checkpoint import (
    LocalCheckpointWriter,
    ServerCheckpointWriter,
    SingleStatement,
)
from stackl_flow.persistence.backends.sql.session import ConnectionPool, Session
from stackl_flow.persistence.backends.sql.statements import Statements
from stackl_flow.persistence.backends.sql.tables import (
    IDS_PER_FLOW,
    atomdetails,
    flow_inputs,
    flowdetails,
    history,
    logbooks,
)
from stackl_flow.persistence.base import Backend, Connection
from stackl_flow.persistence.models import AtomDetail
from stackl_flow.persistence.records import (
    AtomRecord,
    AtomValue,
    AttemptRow,
    BookRecord,
    Changes,
    Checkpoint,
    FlowRecord,
    InputRow,
    Transition,
)

#: Databases with a limit above so many bytes say so themselves when it is exceeded.
_LARGE_LIMIT: Final = 1 << 28

P = ParamSpec("P")
T = TypeVar("T")

#: Above so many rows a bulk insert is faster than single ones that are sent together.
_MANY: Final = 20

_RETRYABLE: Final = frozenset(
    {ErrorKind.CONFLICT, ErrorKind.LOCKED, ErrorKind.DISK, ErrorKind.UNAVAILABLE, ErrorKind.DISCONNECTED}
)


#: A server that accepts connections and does not answer takes a timeout for each attempt. Without the option
#: ``max_attempts``, no attempt begins so many seconds after the first one failed.
_MAX_RETRY_SECONDS: Final = 30.0


class Target(NamedTuple):
    """What the connections of a backend share."""

    engine: sa.Engine
    pool: ConnectionPool
    database: Database
    statements: Statements
    retry_policy: RetryPolicy
    single_statement: SingleStatement | None

    @classmethod
    def of(cls, database: Database, engine: sa.Engine, single_statement: SingleStatement | None) -> Target:
        """Make the target of a database.

        Raises:
            InvalidFormat: an option of its URL is invalid.
        """
        policy = retry_policy(database)
        pool = ConnectionPool(engine, database)
        return cls(engine, pool, database, Statements(engine.dialect), policy, single_statement)


def retry_policy(database: Database) -> RetryPolicy:
    """Read the options ``max_attempts`` and ``retry_delay`` of a database.

    A server is retried at once and then with longer delays, up to ``retry_delay``, because most connections
    can be made again immediately. A file is retried every ``retry_delay`` seconds.

    Raises:
        InvalidFormat: one of them is out of range.
    """
    attempts = database.options.get("max_attempts", 8 if database.is_server else 3)
    delay = database.options.get("retry_delay", 5.0)
    if attempts < 1 or delay < 0:
        raise exc.InvalidFormat(
            f"'max_attempts' of '{database.name}' must be 1 or more and 'retry_delay' 0 or more,"
            f" not {attempts} and {delay}"
        )
    if database.is_server:
        seconds = math.inf if "max_attempts" in database.options else _MAX_RETRY_SECONDS
        return RetryPolicy(
            _RETRYABLE, attempts, first_delay=0.05, factor=3.0, max_delay=delay, max_seconds=seconds
        )
    return RetryPolicy(_RETRYABLE, attempts, first_delay=delay)


def _retried(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """Run a method again as a whole if the server was lost during it, or rolled it back."""

    @wraps(method)
    def run(self: SQLConnection, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(partial(method, self, *args, **kwargs))

    return run


class SQLConnection(Connection):
    """Reads and writes the tables of a database.

    Args:
        backend: the backend.
        target: the database.
        session: the driver's connection, if it is not one of the pool.
    """

    def __init__(self, backend: Backend, target: Target, session: Session | None = None) -> None:
        super().__init__(backend)
        self._target = target
        self._engine = target.engine
        self._database = database = target.database
        self._sql = target.statements
        self._session = session or Session(target.pool, database, self._engine.dialect.loaded_dbapi.Error)
        self._retrying = Retrying(database, target.retry_policy, backend.clock.sleep)
        self._writes = False
        parts = (self._session, database, self._sql, self._retrying, backend.clock.now)
        self._checkpoints: ServerCheckpointWriter | LocalCheckpointWriter = (
            ServerCheckpointWriter(*parts, target.single_statement)
            if database.is_server
            else LocalCheckpointWriter(*parts)
        )

    def close(self) -> None:
        """Return the driver's connection to the pool; the next call acquires another."""
        self._session.close()

    @property
    def max_value(self) -> int | None:
        """The largest value that a row of the database accepts, in bytes; None for no limit."""
        limit = self._database.max_value
        return None if limit is None else limit // 4 * 3  # the other columns of the row have room

    def stored_size(self, text: str) -> int:
        """Return how many bytes of ``max_value`` a text takes, as it is sent."""
        return self._database.stored_size(text)

    def upgrade(self) -> None:
        """Create the tables, or bring them to the version of this code.

        Raises:
            IncompatibleVersion: they are newer than this code.
            StorageFailure: the database cannot be written, or has tables of another program by these names.
        """
        session = self._session
        with session.translate_errors():
            if not session.is_up_to_date(create=True):
                with self._database.lock():
                    tables.migrate(self._engine, self._database)

    def validate(self) -> None:
        """Check that the database is there, undamaged, and of the version of this code.

        Raises:
            IncompatibleVersion: it is newer than this code.
            StorageFailure: it cannot be used; the message says what to do.
        """
        session = self._session
        with session.translate_errors():
            session.close(lost=self._database.is_server)  # a new connection checks the version
            session.ensure_open()
            self._database.check_integrity(session.query)

    # Each of these may be applied twice: the second time, its rows are as they should be already.
    clear_all = _retried(Connection.clear_all)
    save_logbook = _retried(Connection.save_logbook)
    get_logbook = _retried(Connection.get_logbook)
    get_logbooks = _retried(Connection.get_logbooks)
    get_flows_for_book = _retried(Connection.get_flows_for_book)
    get_flow_details = _retried(Connection.get_flow_details)
    update_flow_details = _retried(Connection.update_flow_details)
    get_flow_inputs = _retried(Connection.get_flow_inputs)
    get_flow_record = _retried(Connection.get_flow_record)
    list_flow_records = _retried(Connection.list_flow_records)
    take_ownership = _retried(Connection.take_ownership)
    get_history = _retried(Connection.get_history)
    get_atoms_for_flow = _retried(Connection.get_atoms_for_flow)
    get_atom_details = _retried(Connection.get_atom_details)
    update_atom_details = _retried(Connection.update_atom_details)

    def destroy_logbook(self, book_uuid: str) -> None:
        """Delete a logbook and all that is in it; see the base class."""
        self._session.outcome_unknown = False
        try:
            self._run(partial(super().destroy_logbook, book_uuid))
        except exc.NotFound:
            # An attempt whose outcome is unknown may have deleted it.
            if not self._session.outcome_unknown:
                raise

    def add_atoms(self, flow_uuid: str, details: Iterable[AtomDetail], epoch: int | None = None) -> None:
        """Store new atoms of a flow; see the base class."""
        atoms: Sequence[AtomDetail] = list(details)
        self._session.outcome_unknown = False
        try:
            self._run(partial(super().add_atoms, flow_uuid, atoms, epoch))
        except exc.Duplicate:
            if not self._session.outcome_unknown:
                raise
            # An attempt whose outcome is unknown may have stored them, all of them.
            stored = {record.uuid for record in self.get_atoms_for_flow(flow_uuid)}
            if not stored.issuperset(atom.uuid for atom in atoms):
                raise

    def _run(self, work: Callable[[], T]) -> T:
        return self._retrying(work) if self._database.is_server else work()

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[None]:
        with ExitStack() as stack:
            if write and not self._database.is_server:
                # Once it has begun, no other writer can lock this one out.
                self._retrying(partial(stack.enter_context, self._session.writing))
            else:
                stack.enter_context(self._session.writing if write else self._session.reading)
            self._writes = write
            yield

    # ------------------------------------------------------------------ reading

    def _select(self, build: Callable[[Collection[str]], sa.Select[Any]], **given: Any) -> Iterable[Any]:
        return self._session.query(*self._sql.query(build, **given))

    @property
    def _lock(self) -> bool | None:
        # Rows that are read in order to be written are locked until the end of the transaction.
        return (self._writes and self._database.is_server) or None

    def _read_books(self, uuid: str | None = None) -> list[BookRecord]:
        rows = self._select(statements.select_books, uuid=uuid, lock=self._lock)
        return [BookRecord._make(row) for row in rows]

    def _read_flows(
        self,
        uuid: str | None = None,
        book_uuid: str | None = None,
        state: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[FlowRecord]:
        build = statements.select_newest_flows if newest_first else statements.select_flows
        given = {"uuid": uuid, "book_uuid": book_uuid, "state": state, "limit": limit}
        return [FlowRecord._make(row) for row in self._select(build, **given, lock=self._lock)]

    def _read_atoms(self, flow_uuid: str) -> Iterable[AtomRecord]:
        return map(AtomRecord._make, self._select(statements.select_atoms, flow_uuid=flow_uuid))

    def _read_atom(self, uuid: str) -> AtomRecord | None:
        return next((AtomRecord._make(row) for row in self._select(statements.select_atoms, uuid=uuid)), None)

    def _read_transitions(self, flow_uuid: str, after: int, limit: int | None) -> list[Transition]:
        rows = self._select(statements.select_transitions, flow_uuid=flow_uuid, after=after, limit=limit)
        return [Transition.from_columns(seq, columns) for seq, *columns in rows]

    def _read_values(self, flow_uuid: str) -> Iterable[AtomValue]:
        return map(AtomValue._make, self._select(statements.select_values, flow_uuid=flow_uuid))

    def _read_attempts(self, flow_uuid: str) -> Iterable[AttemptRow]:
        return map(AttemptRow._make, self._select(statements.select_attempts, flow_uuid=flow_uuid))

    def _read_inputs(self, flow_uuid: str) -> Iterable[InputRow]:
        return map(InputRow._make, self._select(statements.select_inputs, flow_uuid=flow_uuid))

    # ------------------------------------------------------------------ writing

    def _add(self, changes: Changes) -> None:
        self._session.outcome_unknown = False
        try:
            self._run(partial(self._add_once, changes))
        except exc.Duplicate:
            # An attempt whose outcome is unknown may have stored them, all of them.
            if not self._session.outcome_unknown or not self._are_stored(changes):
                raise

    def _add_once(self, changes: Changes) -> None:
        is_large = len(changes.new_flows) > _MANY
        if not self._database.is_server or changes.new_atoms or is_large:
            super()._add(changes)
            return
        # Nothing is read, so all statements are sent together, with the one that begins the transaction.
        session = self._session
        with session.unbegun, self._database.pipeline(session.raw):
            for statement in self._database.begin_write:
                session.cursor.execute(statement)
            self._writes = True
            self._apply(changes)

    def _add_many(self, changes: Changes) -> None:
        """Insert many new logbooks with their flows, as fast as the database can."""
        session, sql, database = self._session, self._sql, self._database
        database.bulk_insert(session.cursor, sql.insert_book, logbooks, changes.new_books)
        database.bulk_insert(session.cursor, sql.insert_flow, flowdetails, changes.new_flows)
        if changes.inputs:
            database.bulk_insert(session.cursor, sql.insert_input, flow_inputs, changes.inputs)
        self._apply(changes._replace(new_books=(), new_flows=(), inputs=()))

    def _are_stored(self, changes: Changes) -> bool:
        with self._transaction(write=False):
            return all(self._read_flows(uuid=row.uuid) for row in changes.new_flows) and all(
                self._read_books(row.uuid) for row in changes.new_books
            )

    def _check_rows(self, changes: Changes) -> None:
        for book in (*changes.books, *changes.new_books):
            self._check_row(f"the metadata of logbook '{book.name}'", book)
        for flow in (*changes.new_flows, *changes.flows):
            self._check_row(f"the metadata of flow '{flow.name}'", flow)
        for atom in (*changes.new_atoms, *changes.atoms):
            self._check_row(f"atom '{atom.name}'", atom)
        self._check_other_rows(changes)

    def _apply(self, changes: Changes) -> None:
        if self._has_small_limit:
            self._check_rows(changes)
        session, sql = self._session, self._sql
        execute_many = session.execute_many
        if len(changes.new_books) > _MANY and not self._database.reuses_keys:
            self._add_many(changes)
            return
        execute_many(sql.insert_book, changes.new_books)
        for book in changes.books:
            if not execute_many(sql.update_book, [(*book[1:], book.uuid)]):
                execute_many(sql.insert_book, [book])
        execute_many(sql.insert_flow, changes.new_flows)
        if self._database.reuses_keys:
            # A flow that was deleted by hand leaves its history behind, under an id that is reused.
            self._delete_history(
                session.query(sql.select_flow_id, (row.uuid,))[0] for row in changes.new_flows
            )
        execute_many(
            sql.update_flow,
            [(row.state, row.meta, row.updated_at, row.inputs_version, row.uuid) for row in changes.flows],
        )
        if changes.new_atoms:
            self._database.bulk_insert(session.cursor, sql.insert_atom, atomdetails, changes.new_atoms)
        execute_many(sql.replace_atom, [(*row[4:], row.uuid) for row in changes.atoms])
        for statement, rows in sql.other_rows(changes):
            execute_many(statement, rows)

    def _set_owner(self, flow_uuid: str, epoch: int, owner: str, at: float) -> None:
        self._session.execute_many(self._sql.set_owner, [(epoch, owner, at, flow_uuid)])
        self._checkpoints.prepare(flow_uuid)

    def _delete_history(self, flow_ids: Iterable[Sequence[int]]) -> None:
        ranges = [(flow * IDS_PER_FLOW, flow * IDS_PER_FLOW + IDS_PER_FLOW - 1) for (flow,) in flow_ids]
        self._session.execute_many(self._sql.delete_history, ranges)

    def _delete_book(self, uuid: str) -> bool:
        # The flows are locked, so that no transition of theirs is added meanwhile.
        self._delete_history(self._session.query(self._sql.lock_flows_of_book, (uuid,)))
        delete = statements.prepare(self._engine.dialect, logbooks.delete().where(logbooks.c.uuid == uuid))
        return bool(self._session.execute_many(delete.sql, [delete.values]))

    def _delete_all(self) -> None:
        for table in (logbooks, history):
            delete = statements.prepare(self._engine.dialect, table.delete())
            self._session.execute_many(delete.sql, [delete.values])

    @property
    def _has_small_limit(self) -> bool:
        """Whether to check sizes before anything is sent: a server may close the connection instead."""
        limit = self._database.max_value
        return limit is not None and limit < _LARGE_LIMIT

    def _check_row(self, what: str, row: Iterable[object]) -> None:
        self._database.check_size(what, "".join([text for text in row if isinstance(text, str)]))

    def _check_other_rows(self, changes: Changes | Checkpoint) -> None:
        for value in changes.values:
            self._check_row(f"'{value.name}' of atom '{value.atom_uuid}'", value)
        for change in changes.attempts:
            for row in change.rows:
                self._check_row(f"attempt {row.attempt} of retry '{row.retry_uuid}'", row)
        for given in changes.inputs:
            self._check_row(f"'{given.name or given.part}' of flow '{given.flow_uuid}'", given)

    def _write_checkpoint(self, cp: Checkpoint) -> None:
        if self._has_small_limit:
            for atom in cp.atoms:
                self._check_row(f"atom '{atom.uuid}'", atom)
            self._check_row(f"the metadata of flow '{cp.flow_uuid}'", (cp.flow_meta,))
            self._check_other_rows(cp)
        self._checkpoints(cp)
