"""Flows remembered in any place of items: a directory, and the servers that ``kv`` knows."""

from stackl_flow.persistence.backends.kv.connection import KVBackend

__all__ = ["KVBackend"]
