"""A durable flow whose store holds a value of 1 MB, compared with the same flow without it."""

from __future__ import annotations

import base64
import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from benchmarks import databases
from benchmarks.engine import require
from benchmarks.measure import interleave
from benchmarks.postgresql_chain import FLUSHED, schema
from benchmarks.posting import server_or_nothing
from benchmarks.programs import Library, library, step
from benchmarks.rows import Goal, Row, Samples

NAME = "large-input"
#: A value that databases cannot compress.
LARGE = base64.b85encode(random.Random(1).randbytes(800_000)).decode()  # noqa: S311  reproducible
#: What a task may write on average: the value is written once, and a task has its own rows.
KILOBYTES_A_TASK = 15


def rows(quick: bool) -> Iterator[Row]:
    """Time on SQLite and PostgreSQL; what PostgreSQL writes to its log."""
    size, repeats = (20, 1) if quick else (200, 7)
    yield compare("SQLite", size, repeats, partial(on_sqlite, size), judged=not quick)
    with server_or_nothing("postgresql", *FLUSHED) as url:
        if url is not None:
            yield compare("PostgreSQL", size, repeats, partial(on_postgresql, url, size), judged=not quick)
            ours = Samples("ours", [log_written(url, size, large=True)])
            peer = Samples("without it", [log_written(url, size, large=False)])
            goal = Goal(at_most=KILOBYTES_A_TASK)
            case = f"log of {size} tasks, 1 MB in the store, PostgreSQL"
            yield Row(NAME, case, "KB", ours, peer, goal, judged=not quick)


def compare(store: str, size: int, repeats: int, measure: Callable[..., float], *, judged: bool) -> Row:
    """Run the flow with the value and without it."""
    ours, peer = interleave(
        repeats, {"ours": partial(measure, large=True), "without it": partial(measure, large=False)}
    )
    return Row(
        NAME, f"{size} tasks, 1 MB in the store, {store}", "us", ours, peer, Goal(at_most_ratio=1.2), judged
    )


def on_sqlite(size: int, *, large: bool) -> float:
    """Run the flow on a new file."""
    with databases.scratch() as path, databases.opened("stackl_flow", path) as backend:
        return run(backend, size, large=large)


def on_postgresql(url: str, size: int, *, large: bool) -> float:
    """Run the flow in empty tables."""
    from stackl_flow.persistence import backends  # noqa: PLC0415  not imported while others are measured

    with schema(url) as name, backends.backend(f"{url}?options=-csearch_path%3D{name}") as backend:
        return run(backend, size, large=large)


def log_written(url: str, size: int, *, large: bool) -> float:
    """Return the bytes a task that a server adds to its write-ahead log."""
    import psycopg  # noqa: PLC0415  as above

    from stackl_flow.persistence import backends  # noqa: PLC0415  as above

    with (
        psycopg.connect(url, autocommit=True) as server,
        schema(url) as name,
        backends.backend(f"{url}?options=-csearch_path%3D{name}") as backend,
    ):
        server.execute("CHECKPOINT")
        before = server.execute("SELECT pg_current_wal_lsn()").fetchone()
        run(backend, size, large=large)
        found = server.execute("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), %s)", before or ()).fetchone()
    return float(found[0]) / size if found else 0.0


def pairs(lib: Library, size: int) -> Any:
    """Build a chain of unordered pairs of tasks, of which one passes a value on."""
    flow = lib.linear.Flow("pairs")
    for index in range(size // 2):
        first = lib.task.FunctorTask(
            step, name=f"a{index}", provides=f"v{index + 1}", rebind={"value": f"v{index}"}
        )
        second = lib.task.FunctorTask(step, name=f"b{index}", rebind={"value": f"v{index}"})
        flow.add(lib.unordered.Flow(f"pair {index}").add(first, second))
    return flow


def run(backend: Any, size: int, *, large: bool) -> float:
    """Store the flow, then time its run.

    Returns:
        Seconds a task, without storing the flow and its inputs.
    """
    lib = library("stackl_flow")
    store = {"v0": 0, **({"large": LARGE} if large else {})}
    engine = lib.engines.load(pairs(lib, size), store=store, backend=backend)
    engine.compile()
    engine.prepare()
    start = time.perf_counter()
    engine.run()
    spent = time.perf_counter() - start
    require(engine.storage.fetch(f"v{size // 2}"), size // 2)
    return spent / size
