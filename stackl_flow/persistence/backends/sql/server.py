"""What the databases have in common that are servers, used by many and lost now and then."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.persistence.backends.sql.dialect import SQLDialect
from stackl_flow.urls import BackendURL

#: The first wait before another attempt, in seconds, and how much longer each of the next is.
_FIRST_WAIT: Final = 0.05
_LONGER: Final = 3.0
#: How old a connection may be that is used again, in seconds.
_RECYCLE: Final = 600


class ServerDialect(SQLDialect):
    """A database of a server.

    Options: ``timeout`` (seconds to wait for a connection, 10), ``save_attempts`` (how often something is
    tried while the server is away or undoes it, 8), ``save_wait`` (the most seconds between two tries, 5).

    Args:
        place: its address and options.
        options: further options, which go to the driver.
    """

    #: What SQLAlchemy calls it.
    driver = ""
    is_server = True
    save_attempts = 8
    begin_write = ("BEGIN",)

    def __init__(self, place: BackendURL, **options: type[Any]) -> None:
        super().__init__(place)
        given = dict(place.read_options(timeout=float, save_attempts=int, save_wait=float, **options).values)
        try:
            self._url = sa.make_url(place.unmasked_url).set(drivername=self.driver)
        except (sa.exc.ArgumentError, ValueError) as error:
            raise exc.InvalidFormat(
                f"'{self.name}' is no address: write {place.backend}://user:password@host:port/database",
                cause=error,
            ) from error
        if not self._url.database:
            raise exc.InvalidFormat(
                f"'{self.name}' names no database: write {place.backend}://user:password@host:port/database"
            )
        self.save_attempts = given.pop("save_attempts", self.save_attempts)
        self.save_wait = given.pop("save_wait", self.save_wait)
        if self.save_attempts < 1 or self.save_wait < 0:
            raise exc.InvalidFormat(
                f"'save_attempts' of '{self.name}' must be 1 or more and 'save_wait' 0 or more,"
                f" not {self.save_attempts} and {self.save_wait}"
            )
        self._connect = {"connect_timeout": max(1, int(given.pop("timeout", 10.0))), **given}
        self._was_there = False

    def create_engine(self) -> sa.Engine:
        """Make the SQLAlchemy engine; nothing is opened yet.

        Returns:
            The engine.
        """
        engine = sa.create_engine(
            self._url,
            paramstyle="format",
            # No look at a connection before it is used, nor behind it: what was lost is done again.
            pool_reset_on_return=None,
            # Each new connection looks whether the tables are still those of this code.
            pool_recycle=_RECYCLE,
            hide_parameters=True,
            # Whoever needs a connection gets one; the server knows how many there may be.
            max_overflow=-1,
            connect_args=self._connect,
            **self.engine_options(),
        )
        # Transactions are begun by us.
        sa.event.listen(engine, "connect", self._set_up)
        sa.event.listen(engine, "begin", self._begin)
        return engine

    def engine_options(self) -> dict[str, Any]:
        """Give further arguments for the SQLAlchemy engine.

        Returns:
            The arguments.
        """
        return {}

    def set_up(self, raw: Any) -> None:
        """Make a new connection commit each statement by itself, unless a transaction was begun.

        Args:
            raw: the driver's connection.
        """
        raise NotImplementedError

    def _set_up(self, raw: Any, _: object) -> None:
        self.set_up(raw)
        self._was_there = True

    def _begin(self, connection: sa.Connection) -> None:
        for statement in self.begin_write:
            connection.exec_driver_sql(statement)

    def next_wait(self, attempt: int) -> float:
        """Say how long to wait: hardly at first, because most connections can be made anew at once.

        Args:
            attempt: how often it was tried.

        Returns:
            Seconds.
        """
        return min(self.save_wait, _FIRST_WAIT * _LONGER ** (attempt - 1))
