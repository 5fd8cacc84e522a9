"""The tables, for people to query as well as for us.

Values are JSON text; times are seconds since 1970 in UTC. Rows refer to each other by uuid; the integer keys
keep the order in which rows were added. The key of a move also tells its flow.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

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
