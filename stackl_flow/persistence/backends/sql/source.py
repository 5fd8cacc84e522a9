"""Where connections of the driver come from: SQLAlchemy's pool, as far as what lies in it can still be used.

To open a database costs more than many a transaction, and the last one to close a SQLite file takes its log
away, which the next one has to begin anew. So connections that nobody uses are kept. Not used again are those
of before a fork, and those to a file that has been replaced since.
"""

from __future__ import annotations

import os
from typing import Any, Final

import sqlalchemy as sa

from stackl_flow.persistence.backends.sql.dialect import SQLDialect

# A child process must not use what it got of its parent's database, nor close it: it only keeps it.
_INHERITED: Final[list[Any]] = []
_PLACE: Final = "stackl_flow_place"


def keep(inherited: object) -> None:
    """Keep something that belongs to the parent process, so that it is never closed here.

    Args:
        inherited: what holds the parent's connections.
    """
    _INHERITED.append(inherited)


class Source:
    """Gives out connections, and takes them back.

    Args:
        engine: has the pool.
        dialect: the database's own ways.
    """

    def __init__(self, engine: sa.Engine, dialect: SQLDialect) -> None:
        self._engine = engine
        self._dialect = dialect
        self._pid = os.getpid()

    def take(self) -> Any:
        """Give a connection that can be used; ``close()`` gives it back.

        Returns:
            SQLAlchemy's holder of the driver's connection.
        """
        if self._pid != os.getpid() and not self._dialect.survives_fork:
            keep(self._engine.pool)
            self._engine.dispose(close=False)
        self._pid = os.getpid()
        while True:
            held = self._engine.raw_connection()
            place = self._dialect.place_now()
            if held.info.setdefault(_PLACE, place) == place:
                return held
            held.invalidate()
            held.close()

    def is_there(self, held: Any) -> bool:
        """Say whether a connection still leads to what stands at its address.

        Args:
            held: what ``take`` gave.

        Returns:
            True if so.
        """
        return bool(held.info.get(_PLACE) == self._dialect.place_now())

    def forget_idle(self) -> None:
        """Close those that nobody uses: one was lost, and they may be as well."""
        self._engine.dispose()
