"""A place of items in the tables of a database."""

from stackl_flow.kv.backends.sql.store import SQLKV

__all__ = ["SQLKV"]
