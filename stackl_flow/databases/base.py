"""What is specific to one kind of SQL database: its engine, its transactions and its errors.

`kv` and `persistence` keep tables in the same databases. What they share is here, with one subclass of
`Database` for each: how the URL is read, how a new connection is set up, which statements begin a
transaction, and one table of errors with a remedy for each. What only one of them needs (its statements, the
locking of a checkpoint, notifications) stays with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import Enum
from threading import RLock
from typing import Any, ClassVar, Final, NamedTuple

import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.urls import BackendURL


class ErrorKind(Enum):
    """What an error means for the transaction that raised it: in all kinds, it was rolled back."""

    #: Nothing changes when the same is done again.
    PERMANENT = "permanent"
    #: A unique constraint was violated.
    DUPLICATE = "duplicate"
    #: A table does not exist.
    NO_TABLE = "no table"
    #: Rolled back in favour of another transaction: a deadlock or a serialization failure.
    CONFLICT = "conflict"
    #: Another transaction held a lock for longer than the timeout.
    LOCKED = "locked"
    #: A local disk is full or unreachable.
    DISK = "disk"
    #: The server accepts no connections now: it is starting, or has too many.
    UNAVAILABLE = "unavailable"
    #: A value, or a statement with its values, is larger than the database accepts.
    TOO_LARGE = "too large"
    #: The connection was lost, or none could be made. What was sent with a lost commit may have been applied.
    DISCONNECTED = "disconnected"


class ErrorInfo(NamedTuple):
    """The kind of an error, and what a message says: what happened and what to do."""

    kind: ErrorKind
    remedy: str


#: A text takes at most so many times its length in bytes.
_MAX_GROWTH: Final = 8

FAILED: Final = ErrorInfo(ErrorKind.PERMANENT, "failed")


class Database:
    """A database that is reached by a URL. This class is used as it is where there is no subclass.

    Args:
        url: the parsed URL.
        options: names and types of options beyond those of the database.

    Attributes:
        name: the URL without password and options, for messages.
        options: the values of all options that the URL gives, by name.
        has_connected: whether a connection was ever made.
        max_value: the largest value of a row in bytes, where there is a limit; of a server, once a connection
            was made. The other columns of the row have room beside it.

    Raises:
        InvalidFormat: the URL or one of its options is invalid.
    """

    #: Options of the URL, by name.
    OPTIONS: ClassVar[Mapping[str, type[Any]]] = {}
    #: Whether it is a server: it can become unreachable, and its transactions run concurrently.
    is_server = False
    #: Whether other processes see what is stored; False for a database in memory.
    is_shared = True
    #: Whether DDL statements can be rolled back.
    transactional_ddl: ClassVar[bool] = True
    #: Whether a forked process may use connections of its parent.
    survives_fork = False
    #: Whether a new row may get the key of a deleted one.
    reuses_keys: ClassVar[bool] = False
    #: How parameters are written in statements that go to the driver directly.
    paramstyle: ClassVar[str] = "format"
    #: Statements that begin a transaction which reads one snapshot, or writes.
    begin_read: Sequence[str] = ()
    begin_write: Sequence[str] = ()
    #: How to have a larger ``max_value``, for messages.
    raise_limit: ClassVar[str] = ""
    #: The statement that commits, where that is faster than the driver's ``commit()``.
    end_write = ""

    def __init__(self, url: BackendURL, **options: type[Any]) -> None:
        self.url = url
        self.name = url.masked_url
        self.options: Mapping[str, Any] = url.read_options(**self.OPTIONS, **options).values
        self.has_connected = False
        self.max_value: int | None = None

    @property
    def display_name(self) -> str:
        """What error messages call this database."""
        return self.name

    # ------------------------------------------------------------------ connections

    def create_engine(self, **options: Any) -> sa.Engine:
        """Create a SQLAlchemy engine; no connection is made yet.

        Its connections commit each statement by itself, unless a transaction was begun with `transaction` or
        the statements in ``begin_read`` and ``begin_write``.

        Args:
            options: further arguments for ``sqlalchemy.create_engine``.
        """
        engine = sa.create_engine(self.url.unmasked_url, pool_pre_ping=True, hide_parameters=True, **options)
        return self.listen(engine)

    def listen(self, engine: sa.Engine) -> sa.Engine:
        """Set up every new connection of an engine."""

        def connected(raw: Any, _: object) -> None:
            try:
                self.set_up(raw)
            except BaseException:
                raw.close()  # SQLAlchemy does not close what it has not taken into its pool
                raise
            self.has_connected = True

        sa.event.listen(engine, "connect", connected)
        return engine

    def set_up(self, raw: Any) -> None:
        """Set up a new connection of the driver."""

    def lock(self) -> AbstractContextManager[Any]:
        """Return a lock to hold during a transaction, where all threads share one connection."""
        return RLock()  # never contended, and faster than contextlib.nullcontext

    def check_path(self, *, create: bool) -> None:
        """Check a database file before it is opened.

        Args:
            create: whether a missing file is to be created.

        Raises:
            StorageFailure: it cannot be opened.
        """

    def identity(self) -> object:
        """Return a value that changes when this database is replaced by another."""
        return None

    def has_open_transaction(self, raw: Any) -> bool:  # noqa: ARG002  databases differ
        """Return whether what was just written on a connection of the driver waits for a commit.

        True for a driver that cannot tell.
        """
        return True

    # ------------------------------------------------------------------ transactions

    @contextmanager
    def transaction(self, connection: sa.Connection, *, write: bool) -> Iterator[None]:
        """Hold a transaction: committed at the end of the block, rolled back when it raises.

        Args:
            connection: a connection of this database's engine.
            write: whether it writes; else all that it reads is of one snapshot.
        """
        for statement in self.begin_write if write else self.begin_read:
            connection.exec_driver_sql(statement)
        try:
            yield
        except BaseException:
            if not connection.invalidated:
                connection.exec_driver_sql("ROLLBACK")
            raise
        connection.exec_driver_sql("COMMIT")

    @contextmanager
    def schema_change(self, connection: sa.Connection) -> Iterator[None]:
        """Hold a transaction that creates or changes tables; only one process at a time is in it.

        Raises:
            StorageFailure: another process does not finish.
        """
        with self.transaction(connection, write=True):
            yield

    def pipeline(self, raw: Any) -> AbstractContextManager[Any]:  # noqa: ARG002  databases differ
        """Send the statements of a block together, and wait for their results at its end, if possible."""
        return nullcontext()

    def bulk_insert(self, cursor: Any, insert: str, table: sa.Table, rows: Sequence[Sequence[Any]]) -> None:  # noqa: ARG002  databases differ
        """Insert many rows.

        Args:
            cursor: the driver's cursor.
            insert: the statement that inserts one row.
            table: the table.
            rows: the values of all columns except ``id``.
        """
        cursor.executemany(insert, rows)

    def stored_size(self, text: str) -> int:
        """Return how many bytes of ``max_value`` a text takes."""
        return len(text) if text.isascii() else len(text.encode())

    def check_size(self, what: str, text: str) -> None:
        """Raise ``ValueTooLarge`` for a text that is larger than the database accepts; ``what`` names it."""
        limit = self.max_value
        if limit is not None and _MAX_GROWTH * len(text) > limit and self.stored_size(text) > limit:
            size = self.stored_size(text)
            raise exc.ValueTooLarge(
                f"{what} has {size} bytes and is larger than '{self.display_name}' accepts ({limit} bytes): "
                f"nothing was written; store large values elsewhere and pass a reference (a codec can do "
                f"that){self.raise_limit}",
                size=size,
                limit=limit,
            )

    # ------------------------------------------------------------------ errors

    def explain(self, error: BaseException | None) -> ErrorInfo:
        """Return the kind of an error of the driver, and what to do about it."""
        if error is not None and "does not exist" in str(error):
            return ErrorInfo(ErrorKind.NO_TABLE, "has no such table")
        return FAILED

    def translate(self, error: BaseException) -> exc.StacklFlowError:
        """Return the error to raise for one of the driver or SQLAlchemy; its ``cause`` is the driver's.

        It is a ``StorageFailure``, or ``ValueTooLarge``.
        """
        origin = getattr(error, "orig", None) or error
        text = " ".join(str(origin).split())
        kind, remedy = self.explain(origin)
        if kind is ErrorKind.TOO_LARGE:
            return exc.ValueTooLarge(
                f"database '{self.display_name}' {remedy} ({text})", cause=origin, limit=self.max_value
            )
        return exc.StorageFailure(f"database '{self.display_name}' {remedy} ({text})", cause=origin)

    def check_integrity(self, query: Callable[[str], Sequence[Sequence[Any]]]) -> None:
        """Check for damage, as far as that is quick.

        Args:
            query: runs a statement and returns its rows.

        Raises:
            StorageFailure: the database is damaged.
        """


def choice(value: Any, option: str, allowed: Sequence[str]) -> str:
    """Read an option that is one of a few words, in upper case.

    Raises:
        InvalidFormat: it is none of them.
    """
    word = str(value).upper()
    if word not in allowed:
        raise exc.InvalidFormat(f"option '{option}' must be one of {', '.join(allowed)}, not {value!r}")
    return word
