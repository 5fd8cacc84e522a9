"""Flows in any key-value store of `kv`: a directory, Redis, etcd or ZooKeeper."""

from stackl_flow.persistence.backends.kv.connection import KVBackend

__all__ = ["KVBackend"]
