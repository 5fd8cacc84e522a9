"""Run a program once and say what it cost: from the flow (or graph) as it stands to its last value."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.programs import Library, chain, library


def engine_seconds(
    lib: Library, flow: Any, store: dict[str, Any], last: str, want: int, **options: Any
) -> float:
    """Load and run a flow, and fetch its last value.

    Args:
        lib: the library the flow was built with.
        flow: the flow.
        store: the values it needs.
        last: the name of the value that ends it.
        want: what that value must be.
        options: what else goes to ``engines.load``.

    Returns:
        Seconds from ``load`` to the value in hand.
    """
    start = time.perf_counter()
    engine = lib.engines.load(flow, store=store, **options)
    engine.run()
    value = engine.storage.fetch(last)
    spent = time.perf_counter() - start
    require(value, want)
    return spent


def chain_cost(name: str, size: int, **options: object) -> float:
    """Build a chain with a library and run it.

    Args:
        name: the library.
        size: how many tasks.
        options: what else goes to ``engines.load``.

    Returns:
        Seconds a task.
    """
    lib = library(name)
    return engine_seconds(lib, chain(lib, size), {"v0": 0}, f"v{size}", size, **options) / size


def require(value: object, want: object) -> None:
    """Stop a benchmark that computed something else than it should.

    Args:
        value: what came out.
        want: what should have come out.

    Raises:
        RuntimeError: if they differ.
    """
    if value != want:
        raise RuntimeError(f"the benchmark came to {value!r} instead of {want!r}: its figure means nothing")
