"""A key-value store on an etcd cluster."""

from stackl_flow.kv.backends.etcd.store import EtcdKV

__all__ = ["EtcdKV"]
