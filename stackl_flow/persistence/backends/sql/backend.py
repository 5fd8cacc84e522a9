"""The backend for databases that SQLAlchemy knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stackl_flow import codec as codecs
from stackl_flow import settings
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.codec import TextCodec
from stackl_flow.persistence.backends.sql.connection import SQLConnection
from stackl_flow.persistence.backends.sql.dialect import SQLDialect
from stackl_flow.persistence.backends.sql.sqlite import SQLiteDialect
from stackl_flow.persistence.backends.sql.statements import Statements
from stackl_flow.persistence.base import Backend

_DIALECTS: Final[dict[str, type[SQLDialect]]] = {"sqlite": SQLiteDialect}


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
        self.dialect = _DIALECTS.get(place.plug, SQLDialect)(place)
        self.engine = self.dialect.create_engine()
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
        return SQLConnection(self, self.engine, self.dialect, self.statements)

    def close(self) -> None:
        """Close the database as far as no connection uses it."""
        self.engine.dispose()
