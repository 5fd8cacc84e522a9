"""What differs from one database to the next; the default is what most of them do."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from threading import RLock
from typing import Any

import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.persistence.records import Checkpoint
from stackl_flow.urls import BackendURL


class SQLDialect:
    """A database's own ways.

    Args:
        place: its address and options.
    """

    #: Can a half-done change of tables be undone?
    transactional_ddl = True
    #: May a child process use what its parent opened?
    survives_fork = False
    #: Is it a server? It may go away while it is used, and its writers do not wait for each other.
    is_server = False
    #: May the key of a row that was deleted be given to another?
    reuses_keys = False
    #: Statements that begin a transaction, where the driver does not do it by itself.
    begin_read: tuple[str, ...] = ()
    begin_write: tuple[str, ...] = ()
    #: The one that ends it, where that is less to go through than the driver's own way.
    end_write = ""
    #: How often a save is tried, and how many seconds apart.
    save_attempts = 3
    save_wait = 5.0

    def __init__(self, place: BackendURL) -> None:
        self.place = place
        self.name = place.masked_url

    def create_engine(self) -> sa.Engine:
        """Make the SQLAlchemy engine; nothing is opened yet.

        Returns:
            The engine.
        """
        self.place.read_options()
        return sa.create_engine(
            self.place.unmasked_url, paramstyle="format", pool_pre_ping=True, hide_parameters=True
        )

    def lock(self) -> AbstractContextManager[Any]:
        """Give what has to be held during a transaction, where all connections share one of the driver's.

        Returns:
            A lock; one of its own for each who asks where nothing is shared.
        """
        return RLock()  # nobody else's, and less to go through than contextlib's nullcontext

    def migrating(self, connection: sa.Connection) -> AbstractContextManager[Any]:  # noqa: ARG002  see there
        """Keep other processes from changing the tables, where a transaction does not do that by itself.

        Args:
            connection: the connection, in a transaction.

        Returns:
            What to hold while the tables are changed.
        """
        return nullcontext()

    def together(self, raw: Any) -> AbstractContextManager[Any]:  # noqa: ARG002  see there
        """Send what a block executes at once, and wait for the answers at its end, where the driver can.

        Args:
            raw: the driver's connection.

        Returns:
            The block.
        """
        return nullcontext()

    def at_once(self, cursor: Any, cp: Checkpoint, last: int, at: float) -> bool:  # noqa: ARG002  see there
        """Land a checkpoint by one statement, where there is one for it.

        Args:
            cursor: the driver's cursor, outside any transaction.
            cp: the checkpoint.
            last: the number of the flow's last move.
            at: the time, in seconds since 1970.

        Returns:
            True if it landed; False if nothing was done, or nothing of it landed.
        """
        return False

    def add(self, cursor: Any, insert: str, table: sa.Table, rows: Sequence[Sequence[Any]]) -> None:  # noqa: ARG002  see there
        """Add many rows to a table.

        Args:
            cursor: the driver's cursor.
            insert: the statement that adds one.
            table: the table.
            rows: the values of all columns but the key.
        """
        cursor.executemany(insert, rows)

    def next_wait(self, attempt: int) -> float:  # noqa: ARG002  see there
        """Say how long to wait before a save is tried again.

        Args:
            attempt: how often it was tried.

        Returns:
            Seconds.
        """
        return self.save_wait

    def before_open(self, *, create: bool) -> None:
        """Check what can be checked before the database is opened.

        Args:
            create: a database that does not exist is to be made.

        Raises:
            StorageFailure: it cannot be opened.
        """

    def place_now(self) -> object:
        """Say which database the address leads to, where that may change while a connection lies idle.

        Returns:
            Something that is equal as long as it is the same database.
        """
        return None

    def lacks_table(self, error: BaseException) -> bool:
        """Say whether an error of the driver means that a table does not exist.

        Args:
            error: the driver's error.

        Returns:
            True if so.
        """
        return "does not exist" in str(error)

    def translate(self, error: BaseException) -> exc.StacklFlowError:
        """Make an error of ours of one of the driver's.

        Args:
            error: the driver's error.

        Returns:
            An error that names the database and what to do.
        """
        return exc.StorageFailure(f"database '{self.name}' failed: {error}", cause=error)

    def may_pass(self, error: BaseException | None) -> bool:  # noqa: ARG002  databases differ in this
        """Say whether what failed did not land, and may work when it is done again a little later.

        Args:
            error: the driver's error.

        Returns:
            True if so; of a database that is not known well enough, False.
        """
        return False

    def check(self, run: Any) -> None:
        """Look for damage, as far as that is quick.

        Args:
            run: takes SQL and gives the rows.

        Raises:
            StorageFailure: the database is damaged.
        """

    def not_upgraded(self) -> exc.StorageFailure:
        """Make the error for a database without our tables, or with older ones.

        Returns:
            The error, to be raised.
        """
        return exc.StorageFailure(
            f"database '{self.name}' is not upgraded to the schema of this version: "
            f"run 'stackl-flow db upgrade --db {self.name}', or call upgrade() on a connection"
        )


def choose(value: Any, option: str, allowed: tuple[str, ...]) -> str:
    """Check an option that is one of a few words.

    Args:
        value: what was given.
        option: the option's name.
        allowed: the words, in capitals.

    Returns:
        The word in capitals.

    Raises:
        InvalidFormat: it is none of them.
    """
    word = str(value).upper()
    if word not in allowed:
        raise exc.InvalidFormat(f"option '{option}' must be one of {', '.join(allowed)}, not {value!r}")
    return word
