"""What database servers have in common: a URL with user, host and database, and timeouts.

A server that does not answer must not hang its users. Three limits see to that: the server cancels a
statement after ``statement_timeout`` seconds; the client gives a connection up that was silent for
``read_timeout`` seconds, which is longer; and the kernel notices a peer that is gone (see `tcp`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.databases.base import Database
from stackl_flow.tcp import KEEP_ALIVE, KeepAlive
from stackl_flow.urls import BackendURL

#: Seconds.
_CONNECT_TIMEOUT: Final = 10.0
_STATEMENT_TIMEOUT: Final = 30.0
#: By how much the client waits longer than the server may take.
READ_MARGIN: Final = 5.0
_TIMEOUT_OPTIONS: Final[Mapping[str, type[Any]]] = {
    "timeout": float,
    "connect_timeout": float,
    "statement_timeout": float,
    "read_timeout": float,
    "keepalives_idle": int,
    "keepalives_interval": int,
    "keepalives_count": int,
    "tcp_user_timeout": float,
}


class ServerDatabase(Database):
    """A database on a server.

    Options, all times in seconds: ``timeout`` or ``connect_timeout`` (10), to wait for a connection;
    ``statement_timeout`` (30), after which the server cancels a statement, 0 for never; ``read_timeout`` (5
    more), after which a silent connection counts as lost; ``keepalives_idle`` (10), ``keepalives_interval``
    (5), ``keepalives_count`` (3) and ``tcp_user_timeout`` (20), those of TCP.

    Args:
        url: the parsed URL.
        options: names and types of options beyond those of the database.

    Raises:
        InvalidFormat: the URL or one of its options is invalid.
    """

    is_server = True
    #: The driver, as SQLAlchemy names it.
    DRIVER: ClassVar[str]
    #: Options that the driver reads.
    DRIVER_OPTIONS: ClassVar[Mapping[str, type[Any]]]
    #: A query for the server's time, in seconds since the epoch.
    SERVER_TIME: ClassVar[str]
    #: A query for a value that no other database has.
    IDENTITY: ClassVar[str]

    def __init__(self, url: BackendURL, **options: type[Any]) -> None:
        super().__init__(url, **_TIMEOUT_OPTIONS, **self.DRIVER_OPTIONS, **options)
        form = f"write {url.backend}://user:password@host:port/database"
        try:
            self._url = sa.make_url(url.unmasked_url).set(drivername=self.DRIVER)
        except (sa.exc.ArgumentError, ValueError):
            # SQLAlchemy's error quotes the URL with its password, so it is not chained.
            raise exc.InvalidFormat(f"invalid URL '{self.name}': {form}") from None
        if not self._url.database:
            raise exc.InvalidFormat(f"the URL '{self.name}' names no database: {form}")
        given = self.options
        for name in _TIMEOUT_OPTIONS:
            if given.get(name, 1) < 0 or (given.get(name, 1) == 0 and name != "statement_timeout"):
                raise exc.InvalidFormat(
                    f"option '{name}' of '{self.name}' must be more than 0, not {given[name]:g}"
                )
        #: Seconds to wait for a connection.
        self.timeout = max(1, int(given.get("connect_timeout", given.get("timeout", _CONNECT_TIMEOUT))))
        #: Seconds that a statement may take; None for the default, where the server has no limit of its own.
        self.statement_timeout: float | None = given.get("statement_timeout")
        self.keep_alive = KeepAlive(
            given.get("keepalives_idle", KEEP_ALIVE.idle),
            given.get("keepalives_interval", KEEP_ALIVE.interval),
            given.get("keepalives_count", KEEP_ALIVE.probes),
            given.get("tcp_user_timeout", KEEP_ALIVE.user_timeout),
        )

    def read_timeout(self, statement_timeout: float) -> float | None:
        """Return how many seconds a connection may be silent; None for no limit.

        Args:
            statement_timeout: seconds after which the server cancels a statement; 0 for never.
        """
        given: float | None = self.options.get("read_timeout")
        if given is not None:
            return given
        return statement_timeout + READ_MARGIN if statement_timeout else None

    @property
    def default_statement_timeout(self) -> float:
        """The statement timeout in seconds, if the server has none of its own."""
        return _STATEMENT_TIMEOUT if self.statement_timeout is None else self.statement_timeout

    def connect_args(self) -> dict[str, Any]:
        """Return the arguments for the driver."""
        given = {name: value for name, value in self.options.items() if name in self.DRIVER_OPTIONS}
        return {"connect_timeout": self.timeout, **given}

    def create_engine(self, **options: Any) -> sa.Engine:
        """Create a SQLAlchemy engine without a limit of connections; the server has its own."""
        engine = sa.create_engine(
            self._url, max_overflow=-1, hide_parameters=True, connect_args=self.connect_args(), **options
        )
        return self.listen(engine)
