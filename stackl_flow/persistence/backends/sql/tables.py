"""The tables, for people to query as well as for us.

Values are JSON text; times are seconds since 1970 in UTC. Rows refer to each other by uuid; the integer keys
keep the order in which rows were added. The key of a move also tells its flow.

Which version of the schema a database has, and how it gets to ours.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.dialects import mysql

from stackl_flow import exceptions as exc
from stackl_flow.persistence.backends.sql.dialect import SQLDialect

#: The version of the schema that this code works with: the newest revision under ``migrations/versions``.
REVISION: Final = "0003"
#: Ours alone: a program that keeps its own tables beside these may use Alembic too.
VERSION_TABLE: Final = "stackl_flow_version"

metadata: Final = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only when the key is called INTEGER.
_KEY: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# MySQL's own TEXT ends at 64 KB.
_TEXT: Final = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_UUID: Final = sa.String(64)
_NAME: Final = sa.String(255)
_WORD: Final = sa.String(32)


def _parent(column: str) -> sa.ForeignKey:
    return sa.ForeignKey(column, ondelete="CASCADE")


logbooks: Final = sa.Table(
    "logbooks",
    metadata,
    sa.Column("id", _KEY, primary_key=True),
    sa.Column("uuid", _UUID, nullable=False, unique=True),
    sa.Column("name", _NAME, nullable=False),
    sa.Column("meta", _TEXT),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("updated_at", sa.Double),
)

flowdetails: Final = sa.Table(
    "flowdetails",
    metadata,
    sa.Column("id", _KEY, primary_key=True),
    sa.Column("uuid", _UUID, nullable=False, unique=True),
    sa.Column("book_uuid", _UUID, _parent("logbooks.uuid"), nullable=False, index=True),
    sa.Column("name", _NAME, nullable=False),
    sa.Column("state", _WORD, index=True),
    sa.Column("meta", _TEXT),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("owner", _NAME),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("updated_at", sa.Double),
)

atomdetails: Final = sa.Table(
    "atomdetails",
    metadata,
    sa.Column("id", _KEY, primary_key=True),
    sa.Column("uuid", _UUID, nullable=False, unique=True),
    sa.Column("flow_uuid", _UUID, _parent("flowdetails.uuid"), nullable=False, index=True),
    sa.Column("kind", _WORD, nullable=False),
    sa.Column("name", _NAME, nullable=False),
    sa.Column("version", _TEXT),
    sa.Column("state", _WORD),
    sa.Column("intention", _WORD),
    sa.Column("results", _TEXT),
    sa.Column("failure", _TEXT),
    sa.Column("revert_results", _TEXT),
    sa.Column("revert_failure", _TEXT),
    sa.Column("meta", _TEXT),
)

#: How many moves a flow may have: the number of a move is that of its flow times this, and its own within it.
SPAN: Final = 2**32

# A flow's moves stand together and in order, the last of them at the end of what is written to. There is no
# foreign key: it would be looked up for each move, so whoever deletes a flow deletes its moves. People see
# them in a view named "transitions".
moves: Final = sa.Table(
    "moves",
    metadata,
    sa.Column("id", _KEY, primary_key=True, autoincrement=False),
    sa.Column("atom", _NAME),
    sa.Column("old_state", _WORD),
    sa.Column("new_state", _WORD),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("owner", _NAME),
)


FIND_VERSION: Final = f"SELECT version_num FROM {VERSION_TABLE}"  # noqa: S608  a name of our own

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
    if found is not None and found > REVISION:
        raise exc.IncompatibleVersion(
            f"database '{name}' has schema version {found}, newer than this code's ({REVISION}): "
            f"update stackl_flow in this place, or use another database"
        )
    return found == REVISION


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
        taken = sorted(known.intersection(metadata.tables))
        if taken and VERSION_TABLE not in known:
            raise exc.StorageFailure(
                f"database '{dialect.name}' holds tables of another program under names that are needed"
                f" ({', '.join(taken)}): give a database of its own; flows that TaskFlow itself stored here"
                f" have to end with TaskFlow"
            )
        command.upgrade(config(connection, transactional_ddl=dialect.transactional_ddl), "head")
