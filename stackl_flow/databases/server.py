"""What database servers have in common: a URL with user, host and database, and a timeout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import sqlalchemy as sa

from stackl_flow import exceptions as exc
from stackl_flow.databases.base import Database
from stackl_flow.urls import BackendURL


class ServerDatabase(Database):
    """A database on a server. The option ``timeout`` (10) is how many seconds to wait for a connection.

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
        super().__init__(url, timeout=float, **self.DRIVER_OPTIONS, **options)
        form = f"write {url.backend}://user:password@host:port/database"
        try:
            self._url = sa.make_url(url.unmasked_url).set(drivername=self.DRIVER)
        except (sa.exc.ArgumentError, ValueError):
            # SQLAlchemy's error quotes the URL with its password, so it is not chained.
            raise exc.InvalidFormat(f"invalid URL '{self.name}': {form}") from None
        if not self._url.database:
            raise exc.InvalidFormat(f"the URL '{self.name}' names no database: {form}")
        #: Seconds to wait for a connection.
        self.timeout = max(1, int(self.options.get("timeout", 10.0)))

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
