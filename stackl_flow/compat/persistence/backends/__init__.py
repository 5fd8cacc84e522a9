"""TaskFlow's `taskflow.persistence.backends`: finds the backend for TaskFlow's settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, cast

from stackl_flow import exceptions as exc
from stackl_flow.compat import entry_points
from stackl_flow.compat.utils.uri import extract_driver_and_conf
from stackl_flow.persistence.base import Backend

BACKEND_NAMESPACE: Final = "taskflow.persistence"


def fetch(conf: str | Mapping[str, Any], namespace: str = BACKEND_NAMESPACE, **kwargs: Any) -> Backend:
    """Create the backend for TaskFlow's settings.

    Args:
        conf: settings with the name of a plugin, or a URL, under "connection"; or only that value.
        namespace: the entry point group.
        kwargs: further arguments of the backend.

    Raises:
        NotFound: no backend has that name.
    """
    name, settings = extract_driver_and_conf(conf, "connection")
    # The backend of "mysql+pymysql://..." is "mysql".
    kind = name.partition("+")[0]
    factory = entry_points.load_plugin(namespace, kind)
    if factory is None:
        names = ", ".join(sorted(entry_points.plugins_of(namespace))) or "none"
        raise exc.NotFound(f"unknown backend {name!r} in '{namespace}': known backends are {names}")
    return cast("Backend", factory(settings, **kwargs))


@contextmanager
def backend(
    conf: str | Mapping[str, Any], namespace: str = BACKEND_NAMESPACE, **kwargs: Any
) -> Iterator[Backend]:
    """Create a backend, upgrade its schema, and close it at the end; see `fetch`."""
    with fetch(conf, namespace, **kwargs) as opened:
        with opened.get_connection() as conn:
            conn.upgrade()
        yield opened
