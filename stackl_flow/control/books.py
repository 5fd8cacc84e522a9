"""Orders about logbooks: remove those whose flows ended long enough ago."""

from __future__ import annotations

import re
from typing import Final

from stackl_flow import exceptions as exc
from stackl_flow.persistence import pruning
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.pruning import EndedBook, Keep

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)([smhdw])", re.ASCII)


def span(text: str) -> float:
    """Read a span of time.

    Args:
        text: such as "7d", "36h", "90m", "45s" or "2w".

    Returns:
        Seconds.

    Raises:
        InvalidFormat: it is none.
    """
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None:
        raise exc.InvalidFormat(
            f"'{text}' is no span of time: write a number and s, m, h, d or w, such as 7d"
        )
    return float(found[1]) * _UNITS[found[2]]


def prune(backend: Backend, keep: Keep, *, only_jobs: bool = False, dry_run: bool = False) -> list[EndedBook]:
    """Remove the books whose flows have all ended and that have been kept long enough.

    Args:
        backend: where they are stored; its clock tells the time.
        keep: the rule.
        only_jobs: leave books alone that were not posted with a job.
        dry_run: remove nothing.

    Returns:
        The books that were removed, or would be.

    Raises:
        StorageFailure: the place cannot be used.
    """

    def wanted(book: EndedBook) -> bool:
        return not only_jobs or book.job is not None

    return list(pruning.prune(backend, keep, backend.clock.now(), wanted, dry_run=dry_run))
