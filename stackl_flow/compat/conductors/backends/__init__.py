"""TaskFlow's `taskflow.conductors.backends`: finds the conductor by its kind."""

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
    """Make a conductor.

    Args:
        kind: "blocking" or "nonblocking".
        name: what to call it.
        jobboard: where it claims jobs.
        namespace: the group of entry points to look in.
        kwargs: further arguments, such as ``persistence`` and ``engine``.

    Returns:
        The conductor.

    Raises:
        NotFound: there is no such kind.
    """
    make = entry_points.find(namespace, kind)
    if make is None:
        names = ", ".join(sorted(entry_points.known(namespace))) or "none"
        raise exc.NotFound(f"Could not find conductor '{kind}' in '{namespace}': known are {names}")
    return cast("Conductor", make(name, jobboard, **kwargs))
