"""Time and memory of a task in a very large flow, each run in a fresh process."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Iterator

from benchmarks.engine import chain_cost, require
from benchmarks.measure import fresh, resident_bytes
from benchmarks.programs import chain, library
from benchmarks.rows import Goal, Row, Samples

NAME = "growth"
SMALL = 1_000
SMALL_REPEATS = 15


def rows(quick: bool) -> Iterator[Row]:
    """Compare the chain of 1,000,000 tasks with the chain of 1,000."""
    size, repeats = (20_000, 1) if quick else (1_000_000, 3)
    results = [fresh("growth:probe", size=size) for _ in range(repeats)]
    samples = {key: Samples("ours", [result[key] for result in results]) for key in results[0]}
    small = Samples(f"itself at {SMALL:,}", samples["small"].values)
    case = f"{size:,} tasks"
    yield Row(
        NAME, f"{case}, load and run", "us", samples["large"], small, Goal(at_most_ratio=1.6), not quick
    )
    yield Row(NAME, f"{case}, the flow built", "us", samples["built"])
    yield Row(
        NAME, f"{case}, memory held after", "B", samples["held"], goal=Goal(at_most=2_048), judged=not quick
    )
    yield Row(
        NAME, f"{case}, memory at its peak", "B", samples["peak"], goal=Goal(at_most=2_048), judged=not quick
    )


def probe(size: int) -> dict[str, float]:
    """Run the small chain several times, then the large one once.

    Returns:
        Seconds a task of the small chain, of the large one and of building it; bytes a task held when it is
        done (flow, engine and values alive) and at the peak.
    """
    small = statistics.median(chain_cost("stackl_flow", SMALL) for _ in range(SMALL_REPEATS))
    lib = library("stackl_flow")
    gc.collect()
    before, _ = resident_bytes()
    start = time.perf_counter()
    flow = chain(lib, size)
    built = time.perf_counter()
    engine = lib.engines.load(flow, store={"v0": 0})
    engine.run()
    require(engine.storage.fetch(f"v{size}"), size)
    done = time.perf_counter()
    held, peak = resident_bytes()
    return {
        "small": small,
        "large": (done - built) / size,
        "built": (built - start) / size,
        "held": (held - before) / size,
        "peak": (peak - before) / size,
    }
