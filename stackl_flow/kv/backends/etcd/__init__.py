"""Items in an etcd cluster."""

from stackl_flow.kv.backends.etcd.store import EtcdKV

__all__ = ["EtcdKV"]
