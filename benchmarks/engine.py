"""Run a flow once and return its cost, from the built flow to its last value."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.programs import Library, chain, library


def engine_seconds(
    lib: Library, flow: Any, store: dict[str, Any], last: str, expected: int, **options: Any
) -> float:
    """Load and run a flow, and fetch its last value.

    Returns:
        Seconds.
    """
    start = time.perf_counter()
    engine = lib.engines.load(flow, store=store, **options)
    engine.run()
    value = engine.storage.fetch(last)
    spent = time.perf_counter() - start
    require(value, expected)
    return spent


def chain_cost(name: str, size: int, **options: object) -> float:
    """Build and run a chain.

    Returns:
        Seconds a task.
    """
    lib = library(name)
    return engine_seconds(lib, chain(lib, size), {"v0": 0}, f"v{size}", size, **options) / size


def require(value: object, expected: object) -> None:
    """Fail if a benchmark has computed a wrong value.

    Raises:
        RuntimeError: the values differ.
    """
    if value != expected:
        raise RuntimeError(f"the benchmark computed {value!r} instead of {expected!r}")
