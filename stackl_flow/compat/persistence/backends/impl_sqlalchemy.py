"""TaskFlow's `taskflow.persistence.backends.impl_sqlalchemy`: TaskFlow's settings, this library's tables.

`upgrade` rejects a database of TaskFlow: its tables have the same names and other columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stackl_flow import redaction
from stackl_flow.compat.persistence.codecs import PlainCodec
from stackl_flow.persistence.backends import sql
from stackl_flow.persistence.backends.sql.connection import SQLConnection as Connection

__all__ = ["Connection", "SQLAlchemyBackend"]

_LOG = redaction.get_logger(__name__)

_POOL: Final = "each connection holds a driver connection as long as it is open"
_TRANSACTIONS: Final = "transactions are begun and isolated as checkpoints require"
#: TaskFlow's settings without an effect, with the reason.
_IGNORED: Final = {
    "idle_timeout": _POOL,
    "max_pool_size": _POOL,
    "max_overflow": _POOL,
    "pool_timeout": _POOL,
    "checkin_yield": _POOL,
    "checkout_ping": "a lost connection is detected and reopened by the operation that needs it",
    "max_retries": "commits are retried if the database is locked or lost, see docs/reference/backends.md",
    "isolation_level": _TRANSACTIONS,
    "isolation_levels": _TRANSACTIONS,
    "mysql_sql_mode": _TRANSACTIONS,
    "engine_args": "pass options of the database in its URL",
    "echo": "set the level of the logger 'sqlalchemy.engine' instead",
    "log_statements": "set the level of the logger 'sqlalchemy.engine' instead",
    "log_statements_level": "set the level of the logger 'sqlalchemy.engine' instead",
}


class SQLAlchemyBackend(sql.SQLBackend):
    """Stores flows in the tables of a database.

    Args:
        conf: TaskFlow's settings, with the URL under "connection".
        engine: a SQLAlchemy engine, of which only the URL is used.
    """

    def __init__(self, conf: Mapping[str, Any], engine: Any = None) -> None:
        url = conf.get("connection") if engine is None else engine.url.render_as_string(False)
        super().__init__({"connection": url}, codec=PlainCodec())
        for name in sorted(conf.keys() & _IGNORED):
            _LOG.debug("setting '%s' of '%s' has no effect: %s", name, self.name, _IGNORED[name])
        self._conf = dict(conf)
