"""The serial scheduler of dask, a peer that remembers nothing. Apart, so that probes do not import it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from dask.local import get_sync

from benchmarks.running import require


def dask_seconds(graph: dict[str, Any], keys: Sequence[str], want: int) -> float:
    """Get the last values of a dask graph with dask's serial scheduler.

    Args:
        graph: the graph.
        keys: the values wanted.
        want: what the first of them must be.

    Returns:
        Seconds.
    """
    start = time.perf_counter()
    values = get_sync(graph, list(keys))
    spent = time.perf_counter() - start
    require(values[0], want)
    return spent
