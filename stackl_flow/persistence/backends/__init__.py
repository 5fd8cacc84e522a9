"""Finds the backend for an address.

The table of backends comes from the entry points ``stackl_flow.persistence``; those of this package are known
even when it is not installed. A backend is imported when it is first asked for, so that nobody pays for
drivers unused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, cast

from stackl_flow import plugins, urls
from stackl_flow.persistence.base import Backend

BACKEND_NAMESPACE: Final = "stackl_flow.persistence"

_CODEC: Final = "codec"
_BUILTIN: Final = {
    "dir": "stackl_flow.persistence.backends.kv:KVBackend",
    "directory": "stackl_flow.persistence.backends.kv:KVBackend",
    "etcd": "stackl_flow.persistence.backends.kv:KVBackend",
    "file": "stackl_flow.persistence.backends.kv:KVBackend",
    "mariadb": "stackl_flow.persistence.backends.sql:SQLBackend",
    "memory": "stackl_flow.persistence.backends.memory:MemoryBackend",
    "mysql": "stackl_flow.persistence.backends.sql:SQLBackend",
    "postgresql": "stackl_flow.persistence.backends.sql:SQLBackend",
    "redis": "stackl_flow.persistence.backends.kv:KVBackend",
    "rediss": "stackl_flow.persistence.backends.kv:KVBackend",
    "unix": "stackl_flow.persistence.backends.kv:KVBackend",
    "sqlite": "stackl_flow.persistence.backends.sql:SQLBackend",
    "zookeeper": "stackl_flow.persistence.backends.kv:KVBackend",
}


def fetch(conf: str | Mapping[str, Any], namespace: str = BACKEND_NAMESPACE, **kwargs: Any) -> Backend:
    """Make the backend for an address; nothing is opened yet.

    Args:
        conf: an address, such as "memory" or "sqlite:///flows.db", or settings with one under "connection".
            An option "codec" of either names the codec, as "module:name", so that whoever has the address has
            it, too.
        namespace: the group of entry points to look in.
        kwargs: more arguments for the backend, such as ``codec``.

    Returns:
        The backend.

    Raises:
        NotFound: there is no backend for such addresses, or it or its codec cannot be imported.
        InvalidFormat: the address or its options make no sense.
    """
    place = urls.parse(conf)
    built_in = _BUILTIN if namespace == BACKEND_NAMESPACE else {}
    made = plugins.load_backend(place.backend, place.masked_url, namespace, built_in)
    named = place.options.get(_CODEC)
    if not isinstance(named, str):
        return cast("Backend", made(place.conf, **kwargs))
    codec = plugins.import_object(named, f"codec of '{place.masked_url}'")
    kwargs[_CODEC] = codec() if isinstance(codec, type) else codec
    return cast("Backend", made(place.conf_without(_CODEC), **kwargs))


@contextmanager
def backend(
    conf: str | Mapping[str, Any], namespace: str = BACKEND_NAMESPACE, **kwargs: Any
) -> Iterator[Backend]:
    """Make a backend, bring its schema up to date, and close it at the end.

    Args:
        conf: as for ``fetch``.
        namespace: as for ``fetch``.
        kwargs: as for ``fetch``.

    Yields:
        The backend.
    """
    with fetch(conf, namespace=namespace, **kwargs) as place:
        with place.get_connection() as conn:
            conn.upgrade()
        yield place
