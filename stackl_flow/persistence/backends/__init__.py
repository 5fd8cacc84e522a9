"""Finds the backend for a URL.

Backends are the entry points ``stackl_flow.persistence``; those of this package are known even if it is not
installed. A scheme that has none there and is registered as a key-value store (``stackl_flow.kv``) is served
by `KVBackend` on that store. A backend and its driver are imported when they are first used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, cast

from stackl_flow import plugins, urls
from stackl_flow.kv import backends as stores
from stackl_flow.persistence.base import Backend

BACKEND_NAMESPACE: Final = "stackl_flow.persistence"

_KV: Final = "stackl_flow.persistence.backends.kv:KVBackend"
_SQL: Final = "stackl_flow.persistence.backends.sql:SQLBackend"
_BUILTIN: Final = {
    "dir": _KV,
    "directory": _KV,
    "etcd": _KV,
    "file": _KV,
    "mariadb": _SQL,
    "memory": "stackl_flow.persistence.backends.memory:MemoryBackend",
    "mysql": _SQL,
    "postgresql": _SQL,
    "redis": _KV,
    "rediss": _KV,
    "sqlite": _SQL,
    "unix": _KV,
    "zookeeper": _KV,
}
_CODEC: Final = "codec"


def fetch(conf: str | Mapping[str, Any], namespace: str = BACKEND_NAMESPACE, **kwargs: Any) -> Backend:
    """Return the backend for a URL; nothing is opened yet.

    Args:
        conf: a URL such as "memory" or "sqlite:///flows.db", the path of a SQLite file such as "flows.db", or
            a mapping with one of them under "connection". The option "codec" names a codec as "module:name",
            so that every process with the URL uses it.
        namespace: the group of entry points.
        kwargs: further arguments of the backend, such as ``codec`` or ``clock``.

    Raises:
        NotFound: there is no such backend, or it or its codec cannot be imported.
        InvalidFormat: the URL or one of its options is invalid.
    """
    url = urls.parse(conf)
    known = _BUILTIN if namespace == BACKEND_NAMESPACE else {}
    if namespace == BACKEND_NAMESPACE and url.backend not in known:
        known = {**dict.fromkeys(stores.schemes(), _KV), **known}
    backend_class = plugins.load_backend(url.backend, url.masked_url, namespace, known)
    name = url.options.get(_CODEC)
    if not isinstance(name, str):
        return cast("Backend", backend_class(url.conf, **kwargs))
    codec = plugins.import_object(name, f"codec of '{url.masked_url}'")
    kwargs[_CODEC] = codec() if isinstance(codec, type) else codec
    return cast("Backend", backend_class(url.conf_without(_CODEC), **kwargs))


def schemes() -> list[str]:
    """Return the schemes of the URLs in which flows can be stored, sorted."""
    return sorted({*plugins.entry_points(BACKEND_NAMESPACE, _BUILTIN), *stores.schemes()})


@contextmanager
def backend(
    conf: str | Mapping[str, Any], namespace: str = BACKEND_NAMESPACE, **kwargs: Any
) -> Iterator[Backend]:
    """Open a backend, bring its schema up to date, and close it at the end of the block.

    Args:
        conf: as for ``fetch``.
        namespace: as for ``fetch``.
        kwargs: as for ``fetch``.
    """
    with fetch(conf, namespace=namespace, **kwargs) as opened:
        with opened.get_connection() as conn:
            conn.upgrade()
        yield opened
