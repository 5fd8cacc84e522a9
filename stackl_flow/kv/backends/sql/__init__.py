"""A key-value store in the tables of an SQL database."""

from stackl_flow.kv.backends.sql.store import SQLKV

__all__ = ["SQLKV"]
