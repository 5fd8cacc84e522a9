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
    """Make a board; nothing is opened yet.

    Args:
        name: the board's name.
        conf: settings with a plug-in's name, or an address, under "board"; or that alone.
        namespace: the group of entry points to look in.
        kwargs: more arguments for the board, such as ``persistence`` and ``client``.

    Returns:
        The board.

    Raises:
        NotFound: there is no such board.
    """
    kind, settings = extract_driver_and_conf(conf, "board")
    make = entry_points.find(namespace, kind)
    if make is None:
        names = ", ".join(sorted(entry_points.known(namespace))) or "none"
        raise exc.NotFound(f"Could not find jobboard '{kind}' in '{namespace}': known are {names}")
    return cast("JobBoard", make(name, settings, **kwargs))


@contextmanager
def backend(
    name: str, conf: str | Mapping[str, Any], namespace: str = BACKEND_NAMESPACE, **kwargs: Any
) -> Iterator[JobBoard]:
    """Make a board, connect it, and close it at the end.

    Args:
        name: as for ``fetch``.
        conf: as for ``fetch``.
        namespace: as for ``fetch``.
        kwargs: as for ``fetch``.

    Yields:
        The board.
    """
    with fetch(name, conf, namespace, **kwargs) as board:
        yield board
