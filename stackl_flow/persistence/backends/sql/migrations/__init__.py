"""Alembic migrations of the schema, run by ``Connection.upgrade``."""
