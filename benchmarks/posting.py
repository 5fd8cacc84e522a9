"""Post and run one-task jobs, beside DBOS and procrastinate on the same server."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from benchmarks import databases, servers
from benchmarks.conductors import run_jobs
from benchmarks.measure import fresh, interleave
from benchmarks.postgresql_chain import FLUSHED
from benchmarks.programs import library, step
from benchmarks.rows import Goal, Row, Samples
from scripts.servers.server import ServerError

NAME = "posting"
#: Targets in milliseconds.
GOALS = {
    ("post", "PostgreSQL"): 0.7,
    ("run", "PostgreSQL"): 1.2,
    ("post", "SQLite"): 0.6,
    ("all", "Redis"): 0.8,
    ("post_many", "PostgreSQL"): 0.15,
}
PHASES = {
    "post": "post",
    "run": "run",
    "all": "post and run",
    "post_many": "post_many of 1,000",
}
#: Jobs in one call of ``post_many``.
MANY = 1_000

#: Measures jobs in an empty store, in a fresh process; returns the seconds a job of each phase.
Measure = Callable[[], Mapping[str, float]]


def rows(quick: bool) -> Iterator[Row]:
    """PostgreSQL, SQLite and Redis; no rows for a server that is not installed."""
    jobs, repeats = (20, 1) if quick else (300, 3)
    with databases.scratch() as path:

        def new_file() -> str:
            return f"sqlite:///{path}.{uuid.uuid4().hex}"

        measures: dict[str, Measure] = {"ours": lambda: ours(new_file(), jobs)}
        if installed("dbos"):
            measures["DBOS"] = lambda: peer("dbos_jobs", new_file(), jobs)
        yield from compare("SQLite", measures, repeats, judged=not quick)
    with server_or_nothing("postgresql", *FLUSHED) as url:
        if url is not None:
            measures = {"ours": partial(on_postgresql, url, partial(ours, jobs=jobs))}
            for name, module, function in (
                ("DBOS", "dbos", "dbos_jobs"),
                ("procrastinate", "procrastinate", "procrastinate_jobs"),
            ):
                if installed(module):
                    measures[name] = partial(on_postgresql, url, partial(peer, function, jobs=jobs))
            yield from compare("PostgreSQL", measures, repeats, judged=not quick)
    with server_or_nothing("redis", "--appendfsync", "always", "--appendonly", "yes") as url:
        if url is not None:
            measure = lambda: ours(f"{url}?namespace={uuid.uuid4().hex}", jobs)  # noqa: E731  as above
            yield from compare("Redis", {"ours": measure}, repeats, judged=not quick)


def installed(module: str) -> bool:
    """Whether a peer is installed: ``scripts/bench`` does that."""
    found = importlib.util.find_spec(module) is not None
    if not found:
        print(f"{module} is not installed: skipped", file=sys.stderr)
    return found


@contextlib.contextmanager
def server_or_nothing(kind: str, *options: str) -> Iterator[str | None]:
    """Run a server and yield its URL; None if it is not installed."""
    with contextlib.ExitStack() as stack:
        try:
            url: str | None = stack.enter_context(servers.server(kind, *options))
        except ServerError as error:
            print(f"skipped: {error}", file=sys.stderr)
            url = None
        yield url


def on_postgresql(url: str, measure: Callable[[str], Mapping[str, float]]) -> Mapping[str, float]:
    """Measure in a new database of a server."""
    import psycopg  # noqa: PLC0415  not imported while others are measured
    from psycopg import sql  # noqa: PLC0415  as above

    name = f"bench_{uuid.uuid4().hex}"
    base, _, _ = url.rpartition("/")
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            return measure(f"{base}/{name}")
        finally:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def ours(url: str, jobs: int) -> Mapping[str, float]:
    """Measure this library: board and flows in one store."""
    return fresh("posting:run_ours", url=url, jobs=jobs)


def peer(function: str, url: str, jobs: int) -> Mapping[str, float]:
    """Measure a peer."""
    return fresh(f"job_peers:{function}", url=url, jobs=jobs)


def compare(store: str, measures: Mapping[str, Measure], repeats: int, *, judged: bool) -> Iterator[Row]:
    """Run the measures alternately, and yield a row for each phase and peer that has it."""
    taken: dict[str, list[Mapping[str, float]]] = {name: [] for name in measures}

    def take(name: str) -> float:
        taken[name].append(measures[name]())
        return 0.0

    interleave(repeats, {name: partial(take, name) for name in measures})
    mine, *peers = (
        {phase: Samples(name, [each[phase] for each in found]) for phase in found[0]}
        for name, found in taken.items()
    )
    for phase, samples in mine.items():
        limit = GOALS.get((phase, store))
        goal = None if limit is None else Goal(at_most=limit)
        beside: Sequence[Samples | None] = [other[phase] for other in peers if phase in other] or [None]
        for other in beside:
            yield Row(NAME, f"{PHASES[phase]}, {store}", "ms", samples, other, goal, judged)


def no_op() -> Any:
    """Make the flow of a job: one task."""
    lib = library("stackl_flow")
    task = lib.task.FunctorTask(step, name="step", provides="after", inject={"value": 0})
    return lib.linear.Flow("no-op").add(task)


def run_ours(url: str, jobs: int) -> dict[str, float]:
    """Post jobs, then run them with one conductor; in a process of its own.

    Returns:
        Seconds a job: "post", "run" (from the first end to the last), "all", their sum, and "post_many".
    """
    from stackl_flow import submission  # noqa: PLC0415  in this process only
    from stackl_flow.conductors import backends as conductors  # noqa: PLC0415  as above
    from stackl_flow.jobboards import backends as boards  # noqa: PLC0415  as above
    from stackl_flow.persistence import backends  # noqa: PLC0415  as above

    factory = "benchmarks.posting:no_op"
    with backends.backend(url) as flows, boards.backend("bench", url, persistence=flows) as board:
        submission.post_flow(board, flows, factory)  # creates tables and connections
        start = time.perf_counter()
        for _ in range(jobs):
            submission.post_flow(board, flows, factory)
        posted = (time.perf_counter() - start) / jobs
        conductor = conductors.fetch("blocking", "bench", board, persistence=flows)
        ran = run_jobs(conductor, jobs)
        figures = {"post": posted, "run": ran, "all": posted + ran}
        names = [{"name": "job"} for _ in range(MANY)]
        start = time.perf_counter()
        board.post_many(names)
        figures["post_many"] = (time.perf_counter() - start) / MANY
        return figures


if __name__ == "__main__":
    print(json.dumps(run_ours(sys.argv[1], int(sys.argv[2]))))
