"""Items in a ZooKeeper ensemble."""

from stackl_flow.kv.backends.zookeeper.place import ZooKeeperKV

__all__ = ["ZooKeeperKV"]
