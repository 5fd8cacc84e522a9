"""Finds the place of items for an address.

The table of places comes from the entry points ``stackl_flow.kv``; those of this package are known even when
it is not installed. A place is imported when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from stackl_flow import plugins, urls
from stackl_flow.kv.store import KV

NAMESPACE: Final = "stackl_flow.kv"

_BUILTIN: Final = {
    "etcd": "stackl_flow.kv.backends.etcd:EtcdKV",
    "mariadb": "stackl_flow.kv.backends.sql:SQLKV",
    "memory": "stackl_flow.kv.backends.memory:MemoryKV",
    "mysql": "stackl_flow.kv.backends.sql:SQLKV",
    "postgresql": "stackl_flow.kv.backends.sql:SQLKV",
    "redis": "stackl_flow.kv.backends.redis:RedisKV",
    "rediss": "stackl_flow.kv.backends.redis:RedisKV",
    "unix": "stackl_flow.kv.backends.redis:RedisKV",
    "sqlite": "stackl_flow.kv.backends.sql:SQLKV",
    "directory": "stackl_flow.kv.backends.directory:DirectoryKV",
    "dir": "stackl_flow.kv.backends.directory:DirectoryKV",
    "file": "stackl_flow.kv.backends.directory:DirectoryKV",
    "zookeeper": "stackl_flow.kv.backends.zookeeper:ZooKeeperKV",
}


def fetch(conf: str | Mapping[str, Any], namespace: str = NAMESPACE, **kwargs: Any) -> KV:
    """Make the place for an address; nothing is opened yet.

    Args:
        conf: an address, such as "memory://jobs" or "dir:///var/lib/app", or settings with one
            under "connection".
        namespace: the group of entry points to look in.
        kwargs: more arguments for the place, such as ``clock``.

    Returns:
        The place.

    Raises:
        NotFound: there is no place for such addresses, or it cannot be imported.
        InvalidFormat: the address or its options make no sense.
    """
    place = urls.parse(conf)
    made = plugins.load_backend(
        place.backend, place.masked_url, namespace, _BUILTIN if namespace == NAMESPACE else {}
    )
    return cast("KV", made(place.conf, **kwargs))
