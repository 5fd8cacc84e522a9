"""Finds and opens the key-value store of a URL.

The URL's scheme selects an entry point of the group ``stackl_flow.kv``; the stores of this package are known
even when it is not installed. A store's module is imported at its first use.
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


def schemes() -> list[str]:
    """Return the schemes of the URLs of key-value stores, and so of job boards, sorted."""
    return sorted(plugins.entry_points(NAMESPACE, _BUILTIN))


def fetch(conf: str | Mapping[str, Any], namespace: str = NAMESPACE, **kwargs: Any) -> KV:
    """Return the store of a URL. It connects, and creates files and tables, at its first use.

    Args:
        conf: a URL, such as "memory://jobs" or "dir:///var/lib/app", or a mapping of options with the URL
            under "connection".
        namespace: the group of entry points.
        kwargs: further arguments of the store's class, such as ``clock``.

    Raises:
        NotFound: no store is registered for the scheme, or its module cannot be imported.
        InvalidFormat: the URL or an option is invalid.
    """
    url = urls.parse(conf)
    store = plugins.load_backend(
        url.backend, url.masked_url, namespace, _BUILTIN if namespace == NAMESPACE else {}
    )
    return cast("KV", store(url.conf, **kwargs))
