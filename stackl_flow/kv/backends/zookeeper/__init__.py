"""A key-value store on a ZooKeeper ensemble."""

from stackl_flow.kv.backends.zookeeper.store import ZooKeeperKV

__all__ = ["ZooKeeperKV"]
