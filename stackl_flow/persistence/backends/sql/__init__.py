"""Flows in the tables of a database, through SQLAlchemy; SQLite for now."""

from __future__ import annotations

from stackl_flow.persistence.backends.sql.backend import SQLBackend

__all__ = ["SQLBackend"]
