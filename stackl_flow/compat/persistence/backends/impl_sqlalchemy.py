"""TaskFlow's `taskflow.persistence.backends.impl_sqlalchemy`: its settings, our tables.

A database that TaskFlow itself wrote is refused by `upgrade`: its tables have the names of ours, and differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stackl_flow import redaction
from stackl_flow.compat.persistence.codecs import Plain
from stackl_flow.persistence.backends import sql
from stackl_flow.persistence.backends.sql.connection import SQLConnection as Connection

__all__ = ["Connection", "SQLAlchemyBackend"]

_LOG = redaction.get_logger(__name__)

#: TaskFlow's settings that mean nothing here, and why.
_POOL: Final = "each of our connections holds one of the driver's as long as it is open"
_OURS: Final = "our transactions are begun and isolated as checkpoints need it"
_IGNORED: Final = {
    "idle_timeout": _POOL,
    "max_pool_size": _POOL,
    "max_overflow": _POOL,
    "pool_timeout": _POOL,
    "checkin_yield": _POOL,
    "checkout_ping": "a lost connection is noticed, and opened again, by the verb that needs it",
    "max_retries": "a database that is locked or lost is tried again for every verb, see docs/persistence.md",
    "isolation_level": _OURS,
    "isolation_levels": _OURS,
    "mysql_sql_mode": _OURS,
    "engine_args": "give what the database itself takes in its address",
    "echo": "raise the level of the logger 'sqlalchemy.engine' instead",
    "log_statements": "raise the level of the logger 'sqlalchemy.engine' instead",
    "log_statements_level": "raise the level of the logger 'sqlalchemy.engine' instead",
}


class SQLAlchemyBackend(sql.SQLBackend):
    """Keeps flows in the tables of a database.

    Args:
        conf: TaskFlow's settings; the address under "connection".
        engine: an engine of SQLAlchemy, whose address is used.
    """

    def __init__(self, conf: Mapping[str, Any], engine: Any = None) -> None:
        address = conf.get("connection") if engine is None else engine.url.render_as_string(False)
        super().__init__({"connection": address}, codec=Plain())
        for name in sorted(conf.keys() & _IGNORED):
            _LOG.debug("setting '%s' of '%s' has no effect: %s", name, self.name, _IGNORED[name])
        self._conf = dict(conf)
