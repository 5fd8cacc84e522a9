"""The backend for databases that SQLAlchemy knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from stackl_flow import codec as codecs
from stackl_flow import plugs, settings
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.codec import TextCodec
from stackl_flow.persistence.backends.sql.connection import SQLConnection
from stackl_flow.persistence.backends.sql.dialect import SQLDialect
from stackl_flow.persistence.backends.sql.source import Source
from stackl_flow.persistence.backends.sql.statements import Statements
from stackl_flow.persistence.base import Backend

_HERE: Final = "stackl_flow.persistence.backends.sql"
_DIALECTS: Final = {
    "mariadb": f"{_HERE}.mysql:MySQLDialect",
    "mysql": f"{_HERE}.mysql:MySQLDialect",
    "postgresql": f"{_HERE}.postgresql:PostgreSQLDialect",
    "sqlite": f"{_HERE}.sqlite:SQLiteDialect",
}
_GROUP: Final = "stackl_flow.persistence.sql"


class SQLBackend(Backend):
    """Keeps flows in the tables of a database.

    Args:
        conf: "connection" is the address; options stand in it or beside it.
        codec: makes text of values and values of text; the shared one if left out.
        clock: tells when rows were made.

    Raises:
        InvalidFormat: the address or an option makes no sense.
    """

    def __init__(
        self, conf: Mapping[str, Any] | str, codec: TextCodec = codecs.DEFAULT, clock: Clock = SYSTEM
    ) -> None:
        place = settings.parse(conf)
        super().__init__(place.conf, codec=codec, clock=clock)
        # A driver is imported when it is asked for.
        known = place.plug in _DIALECTS
        made = plugs.load(place.plug, place.url, _GROUP, _DIALECTS) if known else SQLDialect
        self.dialect = cast("SQLDialect", made(place))
        self.engine = self.dialect.create_engine()
        self._source = Source(self.engine, self.dialect)
        self.statements = Statements(self.engine.dialect)

    @property
    def name(self) -> str:
        """The address, without any password."""
        return self.dialect.name

    def get_connection(self) -> SQLConnection:
        """Make a connection, to be used by one thread at a time; it opens the database when it is first used.

        Returns:
            The connection; close it after use.
        """
        return SQLConnection(self, self.engine, self._source, self.dialect, self.statements)

    def close(self) -> None:
        """Close the database as far as no connection uses it."""
        self.engine.dispose()
