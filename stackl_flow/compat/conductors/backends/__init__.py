"""TaskFlow's `taskflow.conductors.backends`: finds a conductor by its kind."""

from __future__ import annotations

from typing import Any, Final, cast

from stackl_flow import exceptions as exc
from stackl_flow.compat import entry_points
from stackl_flow.conductors.conductor import Conductor
from stackl_flow.jobboards.base import JobBoard

CONDUCTOR_NAMESPACE: Final = "taskflow.conductors"


def fetch(
    kind: str, name: str, jobboard: JobBoard, namespace: str = CONDUCTOR_NAMESPACE, **kwargs: Any
) -> Conductor:
    """Create a conductor.

    Args:
        kind: "blocking" or "nonblocking".
        name: the name of the conductor.
        jobboard: the board from which it claims jobs.
        namespace: the entry point group.
        kwargs: further arguments, such as ``persistence`` and ``engine``.

    Raises:
        NotFound: no conductor has that kind.
    """
    make = entry_points.load_plugin(namespace, kind)
    if make is None:
        names = ", ".join(sorted(entry_points.plugins_of(namespace))) or "none"
        raise exc.NotFound(f"unknown conductor '{kind}' in '{namespace}': known conductors are {names}")
    return cast("Conductor", make(name, jobboard, **kwargs))
