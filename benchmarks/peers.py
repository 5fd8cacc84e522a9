"""Dask's serial scheduler, which stores nothing. A module of its own, so that probes do not import dask."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from dask.local import get_sync

from benchmarks.engine import require


def dask_seconds(graph: dict[str, Any], keys: Sequence[str], expected: int) -> float:
    """Compute values of a dask graph with ``dask.get``.

    Returns:
        Seconds.
    """
    start = time.perf_counter()
    values = get_sync(graph, list(keys))
    spent = time.perf_counter() - start
    require(values[0], expected)
    return spent
