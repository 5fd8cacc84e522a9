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
    """Make the backend for TaskFlow's settings.

    Args:
        conf: settings with a plug-in's name, or an address, under "connection"; or the address alone.
        namespace: the group of entry points to look in.
        kwargs: more arguments for the backend.

    Returns:
        The backend.

    Raises:
        NotFound: there is no such backend.
    """
    name, settings = extract_driver_and_conf(conf, "connection")
    # "mysql+pymysql://..." is the backend "mysql".
    kind = name.partition("+")[0]
    make = entry_points.find(namespace, kind)
    if make is None:
        names = ", ".join(sorted(entry_points.known(namespace))) or "none"
        raise exc.NotFound(f"Could not find backend {name!r} in '{namespace}': known are {names}")
    return cast("Backend", make(settings, **kwargs))


@contextmanager
def backend(
    conf: str | Mapping[str, Any], namespace: str = BACKEND_NAMESPACE, **kwargs: Any
) -> Iterator[Backend]:
    """Make a backend, bring it up to date, and close it at the end.

    Args:
        conf: as for ``fetch``.
        namespace: as for ``fetch``.
        kwargs: as for ``fetch``.

    Yields:
        The backend.
    """
    with fetch(conf, namespace, **kwargs) as place:
        with place.get_connection() as conn:
            conn.upgrade()
        yield place
