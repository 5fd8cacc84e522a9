"""The tables of persistence, which people may query, and the versions of their schema.

Values are JSON text; times are seconds since the epoch (UTC). Rows refer to each other by UUID; the integer
keys keep the order in which rows were added. The history of flows is shown by the view ``transitions``
(``flow_uuid``, ``seq``, ``atom``, ``old_state``, ``new_state``, ``at``, ``who``, ``why``).
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
from stackl_flow.databases import Database
from stackl_flow.persistence.records import TRANSITION_COLUMNS

#: The schema version of this code: the newest revision under ``migrations/versions``.
REVISION: Final = "0005"
#: Not Alembic's default, which another program in the same database may use.
VERSION_TABLE: Final = "stackl_flow_version"

metadata: Final = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite assigns ids only to a key of type INTEGER.
_KEY: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# MySQL's TEXT holds at most 64 KB.
_TEXT: Final = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_UUID: Final = sa.String(64)
_NAME: Final = sa.String(255)
_STATE: Final = sa.String(32)


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
    sa.Column("state", _STATE, index=True),
    # Not "meta" as in older versions, which would run flows without the inputs that are in their rows now.
    sa.Column("metadata", _TEXT),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("owner", _NAME),
    sa.Column("created_at", sa.Double, nullable=False),
    sa.Column("updated_at", sa.Double),
    sa.Column("inputs_version", sa.Integer, nullable=False),
)

# Inputs, factory and secrets of a flow: written when they change, and read when they are needed.
flow_inputs: Final = sa.Table(
    "flow_inputs",
    metadata,
    sa.Column("id", _KEY, primary_key=True),
    sa.Column("flow_uuid", _UUID, _parent("flowdetails.uuid"), nullable=False, index=True),
    sa.Column("part", _NAME, nullable=False),
    sa.Column("name", _NAME, nullable=False),
    sa.Column("value", _TEXT, nullable=False),
)

atomdetails: Final = sa.Table(
    "atomdetails",
    metadata,
    sa.Column("id", _KEY, primary_key=True),
    sa.Column("uuid", _UUID, nullable=False, unique=True),
    sa.Column("flow_uuid", _UUID, _parent("flowdetails.uuid"), nullable=False, index=True),
    sa.Column("kind", _STATE, nullable=False),
    sa.Column("name", _NAME, nullable=False),
    sa.Column("version", _TEXT),
    sa.Column("state", _STATE),
    sa.Column("intention", _STATE),
    sa.Column("results", _TEXT),
    sa.Column("failure", _TEXT),
    sa.Column("revert_results", _TEXT),
    sa.Column("revert_failure", _TEXT),
    sa.Column("meta", _TEXT),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("started_at", sa.Double),
    sa.Column("progress", _TEXT),
)

# The long values of an atom: a step that does not change them does not write them again.
atom_values: Final = sa.Table(
    "atom_values",
    metadata,
    sa.Column("atom_uuid", _UUID, _parent("atomdetails.uuid"), primary_key=True),
    sa.Column("name", _STATE, primary_key=True),
    sa.Column("value", _TEXT, nullable=False),
)

# The histories of retries, to which each attempt is appended.
retry_attempts: Final = sa.Table(
    "retry_attempts",
    metadata,
    sa.Column("retry_uuid", _UUID, _parent("atomdetails.uuid"), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("atom", _NAME),
    sa.Column("value", _TEXT, nullable=False),
)

#: How many transitions a flow may have. The id of a transition is the id of its flow times this, plus its
#: number within the flow.
IDS_PER_FLOW: Final = 2**32

# The transitions of a flow are adjacent and in order, and a checkpoint appends to the end of one index. There
# is no foreign key, because it would be checked for each transition; code that deletes a flow deletes its
# history.
history: Final = sa.Table(
    "history",
    metadata,
    sa.Column("id", _KEY, primary_key=True, autoincrement=False),
    *(
        sa.Column(
            column.name,
            sa.Double() if column.length is None else sa.String(column.length),
            nullable=column.nullable,
        )
        for column in TRANSITION_COLUMNS.values()
    ),
)

#: The columns of a transition, in the order of the fields of `Transition`.
HISTORY_COLUMNS: Final = tuple(history.c[column.name] for column in TRANSITION_COLUMNS.values())

SELECT_VERSION: Final = f"SELECT version_num FROM {VERSION_TABLE}"  # noqa: S608  a constant

# Alembic keeps the current migration in module globals.
_MIGRATION_LOCK: Final = threading.Lock()


def is_current(name: str, version: str | None) -> bool:
    """Return whether a database has the schema version of this code; False if it has to be upgraded.

    Args:
        name: what messages call the database.
        version: its schema version, or None if it has no tables of this library.

    Raises:
        IncompatibleVersion: the database is newer than this code.
    """
    if version is not None and version > REVISION:
        raise exc.IncompatibleVersion(
            f"database '{name}' has schema version {version}, newer than this code's ({REVISION}): "
            f"update stackl_flow here, or use another database"
        )
    return version == REVISION


def not_upgraded_error(name: str) -> exc.StorageFailure:
    """Return the error for a database without tables of this library, or with older ones."""
    return exc.StorageFailure(
        f"database '{name}' is not upgraded to the schema of this version: "
        f"run 'stackl-flow db upgrade --db {name}', or call upgrade() on a connection"
    )


def alembic_config(connection: sa.Connection | None = None, *, transactional_ddl: bool = True) -> Config:
    """Return the configuration of Alembic.

    Args:
        connection: the connection to migrate on.
        transactional_ddl: whether DDL statements can be rolled back there.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes.update(connection=connection, transactional_ddl=transactional_ddl)
    return config


def migrate(engine: sa.Engine, database: Database) -> None:
    """Run the missing migrations in one transaction; only one process at a time does.

    Raises:
        StorageFailure: another program has tables of the same names there; nothing was changed.
    """
    with _MIGRATION_LOCK, engine.connect() as connection, database.schema_change(connection):
        names = set(sa.inspect(connection).get_table_names())
        taken = sorted(names.intersection(metadata.tables))
        if taken and VERSION_TABLE not in names:
            raise exc.StorageFailure(
                f"database '{database.name}' has tables of another program with names that are needed"
                f" ({', '.join(taken)}): use a database of its own; flows that TaskFlow stored here"
                f" must be finished with TaskFlow"
            )
        config = alembic_config(connection, transactional_ddl=database.transactional_ddl)
        command.upgrade(config, "head")
