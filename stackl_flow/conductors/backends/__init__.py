"""Makes conductors by the name of their kind."""

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
        kind: ``"blocking"`` (one job at a time) or ``"nonblocking"`` (several on threads).
        name: the conductor's name; each running conductor needs its own.
        jobboard: where it claims jobs.
        namespace: group of entry points in which kinds are looked up.
        kwargs: further arguments of ``Conductor``, such as ``persistence`` and ``engine``.

    Raises:
        NotFound: there is no such kind.
    """
    made = plugins.load_backend(kind, kind, namespace, _BUILTIN if namespace == NAMESPACE else {})
    return cast("Conductor", made(name, jobboard, **kwargs))


@contextmanager
def backend(
    kind: str, name: str, jobboard: JobBoard, namespace: str = NAMESPACE, **kwargs: Any
) -> Iterator[Conductor]:
    """Make a conductor as ``fetch`` does, connect its board, and close it at the end."""
    conductor = fetch(kind, name, jobboard, namespace, **kwargs)
    conductor.connect()
    try:
        yield conductor
    finally:
        conductor.close()
