"""Items in an etcd cluster."""

from stackl_flow.kv.backends.etcd.place import EtcdKV

__all__ = ["EtcdKV"]
