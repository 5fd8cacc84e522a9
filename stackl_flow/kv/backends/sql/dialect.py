"""What a database does in its own way, for a place of items."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.clock import Clock
from stackl_flow.settings import Place


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
    """

    shared = True
    keeps_receipts = False

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

    def lock(self, connection: sa.Connection) -> None:  # noqa: B027  most have nothing to do here
        """Keep others from writing until a transaction ends, where the first write would not do that.

        Args:
            connection: the connection, in a transaction.
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
        """Say in a transaction that it changes something.

        Args:
            connection: the connection.
        """

    def ring(self) -> None:  # noqa: B027  most have nothing to do here
        """Wake those who wait, after a commit."""

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
