"""What Alembic runs to migrate: on the connection that ``schema.migrate`` hands over, in its transaction."""

from __future__ import annotations

from alembic import context

from stackl_flow.persistence.backends.sql import tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.metadata,
    version_table=tables.VERSION_TABLE,
    # All dialects that we use can undo a half-done change of tables, save MySQL, where Alembic knows better.
    transactional_ddl=context.config.attributes["transactional_ddl"],
)
context.run_migrations()
