"""TaskFlow's `taskflow.jobs.backends`: finds the board for TaskFlow's settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, cast

from stackl_flow import exceptions as exc
from stackl_flow.compat import entry_points
from stackl_flow.compat.utils.uri import extract_driver_and_conf
from stackl_flow.jobboards.base import JobBoard

BACKEND_NAMESPACE: Final = "taskflow.jobboards"


def fetch(
    name: str, conf: str | Mapping[str, Any], namespace: str = BACKEND_NAMESPACE, **kwargs: Any
) -> JobBoard:
    """Create a board; it is not connected.

    Args:
        name: the name of the board.
        conf: settings with the name of a plugin, or a URL, under "board"; or only that value.
        namespace: the entry point group.
        kwargs: further arguments of the board, such as ``persistence`` and ``client``.

    Raises:
        NotFound: no board has that name.
    """
    kind, settings = extract_driver_and_conf(conf, "board")
    factory = entry_points.load_plugin(namespace, kind)
    if factory is None:
        names = ", ".join(sorted(entry_points.plugins_of(namespace))) or "none"
        raise exc.NotFound(f"unknown jobboard '{kind}' in '{namespace}': known jobboards are {names}")
    return cast("JobBoard", factory(name, settings, **kwargs))


@contextmanager
def backend(
    name: str, conf: str | Mapping[str, Any], namespace: str = BACKEND_NAMESPACE, **kwargs: Any
) -> Iterator[JobBoard]:
    """Create and connect a board, and close it at the end; see `fetch`."""
    with fetch(name, conf, namespace, **kwargs) as board:
        yield board
