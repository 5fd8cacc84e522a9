"""Finds the conductor by its kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

from stackl_flow import plugins
from stackl_flow.conductors.conductor import Conductor
from stackl_flow.jobboards.base import JobBoard

NAMESPACE: Final = "stackl_flow.conductors"

_BUILTIN: Final = {
    "blocking": "stackl_flow.conductors.backends.impl_blocking:BlockingConductor",
    "nonblocking": "stackl_flow.conductors.backends.impl_nonblocking:NonBlockingConductor",
}


def fetch(kind: str, name: str, jobboard: JobBoard, namespace: str = NAMESPACE, **kwargs: Any) -> Conductor:
    """Make a conductor.

    Args:
        kind: "blocking" (one job at a time) or "nonblocking" (several at once, on threads).
        name: what to call it; each running conductor needs a name of its own.
        jobboard: where it claims jobs.
        namespace: the group of entry points to look in.
        kwargs: further arguments of the conductor, such as ``persistence`` and ``engine``.

    Returns:
        The conductor.

    Raises:
        NotFound: there is no such kind.
    """
    made = plugins.load_backend(kind, kind, namespace, _BUILTIN if namespace == NAMESPACE else {})
    return cast("Conductor", made(name, jobboard, **kwargs))


@contextmanager
def backend(
    kind: str, name: str, jobboard: JobBoard, namespace: str = NAMESPACE, **kwargs: Any
) -> Iterator[Conductor]:
    """Make a conductor, connect its board, and close it at the end.

    Args:
        kind: as for ``fetch``.
        name: as for ``fetch``.
        jobboard: as for ``fetch``.
        namespace: as for ``fetch``.
        kwargs: as for ``fetch``.

    Yields:
        The conductor.
    """
    conductor = fetch(kind, name, jobboard, namespace, **kwargs)
    conductor.connect()
    try:
        yield conductor
    finally:
        conductor.close()
