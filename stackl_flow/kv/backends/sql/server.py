"""What the databases have in common that are servers: an address, a clock, and being lost now and then.

Leases go by the server's clock, which is asked when the place is opened and then followed by this machine's
monotonic one: a client whose time of day is wrong neither keeps nor loses anything. ``timeout`` (10) is how
many seconds to wait for a connection.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.kv.backends.sql.dialect import Dialect, Gone
from stackl_flow.urls import BackendURL

#: Seconds after which the server's clock is asked again.
_ASK_AGAIN: Final = 300.0


class ServerDialect(Dialect):
    """A database of a server.

    Args:
        place: its address and options.
        options: further options, which go to the driver.

    Raises:
        InvalidFormat: the address or an option makes no sense.
    """

    keeps_receipts = True
    #: What SQLAlchemy calls it.
    driver: ClassVar[str]
    #: Asks for the time, in seconds since 1970.
    clock: ClassVar[str]
    #: What to do about errors, by what their code begins with, and by words before there is a connection.
    remedies: ClassVar[Mapping[str, str]]
    at_the_door: ClassVar[Mapping[str, str]]
    #: Codes of what the server undid, or could not do now: it may be sent again.
    undone: ClassVar[frozenset[str]]

    def __init__(self, place: BackendURL, **options: type[Any]) -> None:
        super().__init__(place)
        given = dict(place.read_options(timeout=float, **options).values)
        try:
            self._url = sa.make_url(place.unmasked_url).set(drivername=self.driver)
        except (sa.exc.ArgumentError, ValueError):
            # Not from it: its own message shows the address as it was written, password and all.
            raise exc.InvalidFormat(
                f"'{self.name}' is no address: write {place.backend}://user:password@host:port/database"
            ) from None
        if not self._url.database:
            raise exc.InvalidFormat(
                f"'{self.name}' names no database: write {place.backend}://user:password@host:port/database"
            )
        self.timeout = max(1, int(given.pop("timeout", 10.0)))
        self._connect = {"connect_timeout": self.timeout, **given}
        self._engine: sa.Engine | None = None
        self._clock = (0.0, 0.0)

    def create_engine(self) -> sa.Engine:
        """Make the SQLAlchemy engine; nothing is opened yet.

        Returns:
            The engine.
        """
        # A single question needs no transaction of its own.
        self._engine = sa.create_engine(
            self._url,
            isolation_level="AUTOCOMMIT",
            pool_size=20,
            connect_args=self._connect,
            # Values that cannot be written are not to be read in a log either.
            hide_parameters=True,
        )
        return self._engine

    def opened(self, engine: sa.Engine) -> None:
        """Ask the server for the time.

        Args:
            engine: the engine.
        """
        with engine.connect() as connection:
            asked = SYSTEM.monotonic()
            told = float(connection.execute(sa.text(self.clock)).scalar_one())
            # Between question and answer: half of the time that it took.
            self._clock = (told, (asked + SYSTEM.monotonic()) / 2)

    def now(self, clock: Clock) -> float:  # noqa: ARG002  the server's counts
        """Tell the server's time.

        Args:
            clock: not asked.

        Returns:
            The time, in seconds since 1970.
        """
        if SYSTEM.monotonic() - self._clock[1] > _ASK_AGAIN and self._engine is not None:
            self.opened(self._engine)
        told, at = self._clock
        return told + SYSTEM.monotonic() - at

    @abstractmethod
    def code(self, error: BaseException) -> str:
        """Give the server's code for an error.

        Args:
            error: the driver's error.

        Returns:
            The code; empty if there is none, because there is no connection.
        """

    def translate(self, error: sa.exc.SQLAlchemyError) -> exc.StorageFailure:
        """Make an error of ours of one of the server's.

        Args:
            error: SQLAlchemy's error.

        Returns:
            An error that names the place and what to do.
        """
        origin = getattr(error, "orig", None) or error
        code = self.code(origin)
        text = " ".join(str(origin).split())
        told = [told for begins, told in self.remedies.items() if code.startswith(begins)]
        if not told and isinstance(error, sa.exc.OperationalError):
            told = [told for words, told in self.at_the_door.items() if words in text]
        silent = isinstance(error, sa.exc.OperationalError) and not code and not told
        cut = getattr(error, "connection_invalidated", False) and not told
        if silent or cut or code in self.undone:
            remedy = told[0] if told else "cannot be reached: see that the server runs and listens there"
            return Gone(f"'{self.name}' {remedy} ({text})", cause=origin)
        return exc.StorageFailure(f"'{self.name}' {told[0] if told else 'failed'} ({text})", cause=origin)
