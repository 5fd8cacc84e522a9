"""Flows in the tables of an SQL database: SQLAlchemy writes the statements, the driver runs them."""

from __future__ import annotations

from stackl_flow.persistence.backends.sql.backend import SQLBackend

__all__ = ["SQLBackend"]
