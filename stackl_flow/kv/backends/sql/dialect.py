"""What a database does in its own way, for a place of items."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.clock import Clock
from stackl_flow.kv.backends.sql import tables
from stackl_flow.settings import Place


class Gone(exc.StorageFailure):
    """The server was lost on the way, or undid what was sent: it may be sent again."""


class Asked(NamedTuple):
    """What a writer wants to know before it writes, and the names of all that nobody else may write then."""

    keys: Sequence[str] = ()
    lease: str = ""
    token: str = ""
    names: Sequence[str] = ()


class Seen(NamedTuple):
    """What a waiter saw: a mark that is another when something changed, and when the next lease runs out."""

    mark: int
    runs_out: float | None


class Wakes(Protocol):
    """What somebody waits at."""

    def wait(self, seconds: float) -> None:
        """Return when something was committed, or after that time at the latest."""


class Dialect(ABC):
    """The ways of one database.

    Args:
        place: its address and options.

    Attributes:
        shared: whether other processes get to the same place.
        keeps_receipts: whether an answer may be lost, so that commits have to be known again.
        format: the format of what is kept.
        look_again: how many seconds a waiter sleeps at most; a commit that woke nobody is noticed then.
        most: how many items one commit may write, or None.
        latest: what is read in a transaction of the caller's has to be locked, to be what is there now.
    """

    shared = True
    keeps_receipts = False
    format = tables.FORMAT
    look_again = 0.25
    most: int | None = None
    latest = False
    #: Takes items, in a transaction that writes.
    take: sa.Select[Any] = tables.READ_SOME

    def __init__(self, place: Place) -> None:
        self.name = place.url

    @abstractmethod
    def create_engine(self) -> sa.Engine:
        """Make the SQLAlchemy engine; nothing is opened yet.

        Returns:
            The engine.
        """

    @abstractmethod
    def opening(self, connection: sa.Connection) -> AbstractContextManager[None]:
        """Hold a transaction in which the tables are made, by one process at a time.

        Args:
            connection: the connection.

        Returns:
            The context.
        """

    def opened(self, engine: sa.Engine) -> None:  # noqa: B027  most have nothing to do here
        """Do what is left to do when the tables are there.

        Args:
            engine: the engine.
        """

    @abstractmethod
    def transaction(self, connection: sa.Connection, *, write: bool) -> AbstractContextManager[None]:
        """Hold a transaction: kept at the end, undone when the block raises.

        Args:
            connection: the connection.
            write: nobody else writes beside it; else it sees one moment.

        Returns:
            The context.
        """

    def lock(self, connection: sa.Connection, asked: Asked, *, joined: bool) -> None:  # noqa: B027  see there
        """Keep others from writing until a transaction ends, where the first write would not do that.

        Args:
            connection: the connection, in a transaction.
            asked: what is to be looked at, and written.
            joined: whether the transaction is the caller's own.
        """

    def in_transaction(self, raw: Any) -> bool:  # noqa: ARG002  see there
        """Say whether what is written on a connection waits for a commit.

        Args:
            raw: the driver's connection; something was written on it.

        Returns:
            True if so.
        """
        return True

    def renew(self, connection: sa.Connection, found: Any) -> None:  # noqa: B027  most have nothing to do here
        """Bring the tables of an older format up to date.

        Args:
            connection: the connection, in the transaction in which the tables are made.
            found: the row of ``kv_state``.
        """

    def count(self, connection: sa.Connection, token: str) -> int:
        """Count a commit.

        Args:
            connection: the connection, in a transaction.
            token: what the commit is to be known by when its answer is lost; empty for nothing.

        Returns:
            The version of all that is put in it, above that of any other commit that wrote the same items.
        """
        version = int(connection.execute(tables.RAISE).scalar_one())
        if token:
            connection.execute(tables.RECEIPT, [{"token": token, "version": version}])
        return version

    def remove(self, connection: sa.Connection, version: int, keys: Sequence[str]) -> None:
        """Delete items, and remember that.

        Args:
            connection: the connection, in a transaction.
            version: that of the commit.
            keys: their keys.
        """
        there = connection.execute(tables.STORED, {"keys": keys}).scalars().all()
        if there:
            connection.execute(tables.FORGET, [{"version": version, "key": key} for key in there])
            connection.execute(tables.REMOVE, {"keys": there})

    def ended(self, connection: sa.Connection, leases: Sequence[str], now: float) -> Sequence[str]:  # noqa: ARG002  see there
        """Take the leases that ran out from all others who would end them.

        Args:
            connection: the connection, in a transaction.
            leases: those that ran out.
            now: the time.

        Returns:
            Those that are ours to end.
        """
        return leases

    def mark(self, connection: sa.Connection) -> int:
        """Mark what is there now.

        Args:
            connection: the connection.

        Returns:
            The mark.
        """
        return int(connection.execute(tables.READ_STATE).one().revision)

    def look(self, connection: sa.Connection, prefix: str, since: int) -> Seen:
        """See whether items have changed.

        Args:
            connection: the connection.
            prefix: items whose keys begin so.
            since: the mark up to which they are known.

        Returns:
            What is seen; with the same mark if nothing changed.
        """
        revision = self.mark(connection)
        runs_out: float | None = connection.execute(tables.NEXT_END).scalar_one()
        if revision == since:
            return Seen(since, runs_out)
        values = {"since": since, **tables.bounds(prefix)}
        changed = revision - since > tables.REMEMBERED or any(
            connection.execute(asked, values).first() is not None
            for asked in tables.changes(prefix=bool(prefix))
        )
        return Seen(revision if changed else since, runs_out)

    def alone(self) -> AbstractContextManager[object]:
        """Give what has to be held whenever the database is used.

        Returns:
            A lock, or something that does nothing.
        """
        return nullcontext()

    def now(self, clock: Clock) -> float:
        """Tell the time by which leases run out.

        Args:
            clock: the one that was passed in.

        Returns:
            The time, in seconds since 1970.
        """
        return clock.now()

    def announce(self, connection: sa.Connection) -> None:  # noqa: B027  most have nothing to do here
        """Wake those who wait: now, or when the transaction of the caller's own is committed.

        Args:
            connection: the connection.
        """

    @abstractmethod
    def waiting(self) -> AbstractContextManager[Wakes]:
        """Give something to wait at; what is committed from now on wakes whoever waits there.

        Returns:
            The context.
        """

    @abstractmethod
    def translate(self, error: sa.exc.SQLAlchemyError) -> exc.StorageFailure:
        """Make an error of ours of one of the database's.

        Args:
            error: SQLAlchemy's error.

        Returns:
            An error that names the place and what to do; ``Gone`` if what was sent may be sent again.
        """

    def close(self) -> None:  # noqa: B027  most have nothing to do here
        """Let go of what waiters need."""
