"""Alembic's environment: migrates on the connection and in the transaction of `tables.migrate`."""

from __future__ import annotations

from alembic import context

from stackl_flow.persistence.backends.sql import tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=tables.metadata,
    version_table=tables.VERSION_TABLE,
    # MySQL cannot roll DDL back; each of its migrations commits by itself.
    transactional_ddl=context.config.attributes["transactional_ddl"],
)
context.run_migrations()
