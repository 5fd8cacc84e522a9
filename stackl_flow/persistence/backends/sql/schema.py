"""Which version of the schema a database has, and how it gets to ours."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from stackl_flow import exceptions as exc
from stackl_flow.persistence.backends.sql import tables
from stackl_flow.persistence.backends.sql.dialect import SQLDialect

FIND_VERSION: Final = f"SELECT version_num FROM {tables.VERSION_TABLE}"  # noqa: S608  a name of our own

# Alembic keeps the migration it is at in module globals.
_ONE_AT_A_TIME: Final = threading.Lock()


def is_current(name: str, found: str | None) -> bool:
    """Compare the version of a database with that of this code.

    Args:
        name: what to call the database.
        found: its version, or None.

    Returns:
        True when they are the same, False when the database has to be upgraded.

    Raises:
        IncompatibleVersion: the database is newer than this code.
    """
    if found is not None and found > tables.REVISION:
        raise exc.IncompatibleVersion(
            f"database '{name}' has schema version {found}, newer than this code's ({tables.REVISION}): "
            f"update stackl_flow in this place, or use another database"
        )
    return found == tables.REVISION


def config(connection: sa.Connection | None = None, *, transactional_ddl: bool = True) -> Config:
    """Make the settings that Alembic needs.

    Args:
        connection: where to migrate.
        transactional_ddl: a half-done change of tables can be undone there.

    Returns:
        The settings.
    """
    made = Config()
    made.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    made.attributes.update(connection=connection, transactional_ddl=transactional_ddl)
    return made


def migrate(engine: sa.Engine, dialect: SQLDialect) -> None:
    """Run the steps that are missing, in one transaction; another process that wants the same waits for it.

    Args:
        engine: the database.
        dialect: its own ways.

    Raises:
        StorageFailure: somebody else has tables there whose names we need; nothing was changed.
    """
    with _ONE_AT_A_TIME, engine.begin() as connection, dialect.migrating(connection):
        known = set(sa.inspect(connection).get_table_names())
        taken = sorted(known.intersection(tables.metadata.tables))
        if taken and tables.VERSION_TABLE not in known:
            raise exc.StorageFailure(
                f"database '{dialect.name}' holds tables of another program under names that are needed"
                f" ({', '.join(taken)}): give a database of its own; flows that TaskFlow itself stored here"
                f" have to end with TaskFlow"
            )
        command.upgrade(config(connection, transactional_ddl=dialect.transactional_ddl), "head")
