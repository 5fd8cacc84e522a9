"""What a database does in its own way, for a place of items."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.clock import Clock
from stackl_flow.kv.backends.sql import tables
from stackl_flow.kv.backends.sql.order import Order
from stackl_flow.urls import BackendURL


class Gone(exc.StorageFailure):
    """The server was lost on the way, or undid what was sent: it may be sent again."""


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
        order: how its commits come one after another.
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

    def __init__(self, place: BackendURL) -> None:
        self.name = place.masked_url
        self.order = Order()

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
