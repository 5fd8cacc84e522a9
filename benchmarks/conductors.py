"""Throughput of one conductor, compared with TaskFlow's on the same server; latency from post to start."""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchmarks import databases
from benchmarks.measure import interleave
from benchmarks.programs import library, step
from benchmarks.rows import Goal, Row, Samples
from benchmarks.servers import server_if_installed

NAME = "conductor"
#: Start times of the tasks of the latency jobs (``perf_counter``).
STARTED: list[float] = []
#: With flows in memory this conductor runs more jobs than TaskFlow's by this factor.
JOBS_FACTOR = 5
#: Servers on which TaskFlow has boards: their names and TaskFlow's configuration of a board.
SERVERS: Mapping[str, tuple[str, Callable[[str, int], dict[str, Any]]]] = {
    "redis": ("Redis", lambda host, port: {"host": host, "port": port, "namespace": key()}),
    "zookeeper": ("ZooKeeper", lambda host, port: {"hosts": f"{host}:{port}", "path": f"/{key()}"}),
    "etcd": ("etcd", lambda host, port: {"host": host, "port": port, "path": key()}),
}


def rows(quick: bool) -> Iterator[Row]:
    """Memory, SQLite, and the installed servers on which TaskFlow has boards."""
    jobs, repeats = (10, 1) if quick else (300, 5)
    with databases.scratch() as path:
        yield without_peer("memory, flows in memory", lambda: ("memory://" + key(), "memory"), jobs, repeats)
        files = lambda: (f"sqlite:///{path}.{key()}", f"sqlite:///{path}.{key()}")  # noqa: E731  a pair of URLs
        yield without_peer("SQLite, flows in SQLite", files, jobs, repeats)
    for kind in SERVERS:
        with server_if_installed(kind) as server:
            if server is None:
                print(f"{kind} is not installed: skipped", file=sys.stderr)
                continue
            yield compare_with_taskflow(kind, server, "memory", jobs, repeats, judged=not quick)
            if kind != "redis":
                continue
            yield compare_with_taskflow(kind, server, new_url(server), jobs, repeats, judged=not quick)
            latency = Samples("ours", latencies(server, 10 if quick else 200))
            yield Row(NAME, "post to start, Redis", "ms", latency, goal=Goal(at_most=10), judged=not quick)


def key() -> str:
    """Return a new name."""
    return uuid.uuid4().hex


def new_url(server: str) -> str:
    """Return the URL of an empty store on a server."""
    return f"{server}?namespace={key()}" if server.startswith("redis") else f"{server}/{key()}"


def without_peer(case: str, urls: Callable[[], tuple[str, str]], jobs: int, repeats: int) -> Row:
    """Measure on a store for which TaskFlow has no board."""
    (ours,) = interleave(repeats, {"ours": lambda: ours_seconds(*urls(), jobs)})
    return Row(NAME, f"{jobs} jobs, {case}", "us", ours)


def compare_with_taskflow(
    kind: str, server: str, flows: str, jobs: int, repeats: int, *, judged: bool
) -> Row:
    """Compare both on one server. TaskFlow's flows are in memory; if ours are not, there is no target.

    Ours get more jobs: the process that extends the lease takes half a second of one processor to start.
    TaskFlow does not: its board rereads all waiting jobs, so that more of them would slow it down.
    """
    in_memory = flows == "memory"
    more = jobs * JOBS_FACTOR if in_memory else jobs
    ours, peer = interleave(
        repeats,
        {
            "ours": lambda: ours_seconds(new_url(server), flows, more),
            "TaskFlow": lambda: taskflow_seconds(kind, server, jobs),
        },
    )
    name = SERVERS[kind][0]
    case = f"{more:,} jobs, {name}, flows in {'memory' if in_memory else name}"
    return Row(NAME, case, "us", ours, peer, Goal(at_least_faster=6) if in_memory else None, judged)


def no_op(name: str) -> Any:
    """Make the flow of a job: one task."""
    lib = library(name)
    task = lib.task.FunctorTask(step, name="step", provides="after", inject={"value": 0})
    return lib.linear.Flow("no-op").add(task)


def timed() -> Any:
    """Make the flow of a latency job."""
    lib = library("stackl_flow")
    return lib.linear.Flow("timed").add(lib.task.FunctorTask(record_start, name="record-start"))


def record_start() -> None:
    """Record when the task starts."""
    STARTED.append(time.perf_counter())


def ours_seconds(url: str, flows: str, jobs: int) -> float:
    """Post jobs, and time the conductor that runs them all.

    Returns:
        Seconds a job.
    """
    with opened("stackl_flow.persistence", flows) as store:
        return conducted("stackl_flow", store, jobs, {"connection": url})


def taskflow_seconds(kind: str, server: str, jobs: int) -> float:
    """Do the same with TaskFlow."""
    host, _, port = server.partition("://")[2].partition("/")[0].partition(":")
    conf = {"board": kind, **SERVERS[kind][1](host, int(port))}
    with opened("taskflow.persistence", "memory") as store:
        return conducted("taskflow", store, jobs, conf)


@contextlib.contextmanager
def opened(package: str, url: str) -> Iterator[Any]:
    """Open a persistence backend and upgrade it."""
    backend = importlib.import_module(f"{package}.backends").fetch({"connection": url})
    with contextlib.closing(backend):
        with contextlib.closing(backend.get_connection()) as connection:
            connection.upgrade()
        yield backend


def conducted(name: str, store: Any, jobs: int, conf: Mapping[str, Any]) -> float:
    """Run no-op jobs with one conductor; return seconds a job, from the first job's end to the last's."""
    boards = "jobboards" if name == "stackl_flow" else "jobs"
    fetch = importlib.import_module(f"{name}.{boards}.backends").fetch
    conductors = importlib.import_module(f"{name}.conductors.backends")
    board = fetch("bench", dict(conf), persistence=store)
    board.connect()
    with contextlib.closing(board):
        for _ in range(jobs + 1):
            post(name, board, store)
        conductor = conductors.fetch("blocking", f"c-{key()}", board, persistence=store, engine="serial")
        seconds = run_jobs(conductor, jobs)
        if board.job_count:
            raise RuntimeError(f"{board.job_count} jobs were not run ({conf})")
    return seconds


def run_jobs(conductor: Any, jobs: int) -> float:
    """Run a conductor until one job, then so many more have ended; return the seconds for each of these."""
    ends: list[float] = []

    def ended(*_: Any, **__: Any) -> None:
        ends.append(time.perf_counter())
        if len(ends) > jobs:
            conductor.stop()

    conductor.notifier.register("job_consumed", ended)
    conductor.run()
    return (ends[-1] - ends[0]) / jobs


def post(name: str, board: Any, store: Any) -> None:
    """Post a no-op job by the API that both libraries have."""
    models = importlib.import_module(f"{name}.persistence.models")
    book, detail = models.LogBook("job"), models.FlowDetail("flow", str(uuid.uuid4()))
    book.add(detail)
    with contextlib.closing(store.get_connection()) as connection:
        connection.save_logbook(book)
    engines = importlib.import_module(f"{name}.engines")
    engines.save_factory_details(detail, no_op, [name], {}, backend=store)
    board.post("job", book, details={"flow_uuid": detail.uuid})


def latencies(server: str, jobs: int) -> list[float]:
    """Post jobs one after the other to an idle conductor.

    Returns:
        Seconds from the call of ``post`` to the start of the job's task, without storing the flow.
    """
    from stackl_flow import engines  # noqa: PLC0415  not imported while TaskFlow is measured
    from stackl_flow.conductors import backends as conductors  # noqa: PLC0415
    from stackl_flow.jobboards import backends as boards  # noqa: PLC0415
    from stackl_flow.persistence.models import LogBook  # noqa: PLC0415

    url = new_url(server)
    STARTED.clear()
    spent = []
    with (
        opened("stackl_flow.persistence", new_url(server)) as store,
        boards.backend("bench", url, persistence=store) as board,
        boards.backend("bench", url, persistence=store) as conductor_board,
    ):
        conductor = conductors.fetch("blocking", f"c-{key()}", conductor_board, persistence=store)
        running = threading.Thread(target=conductor.run, kwargs={"max_dispatches": jobs})
        running.start()
        for _ in range(jobs):
            book = LogBook("job")
            engine = engines.load_from_factory(timed, book=book, backend=store)
            start = time.perf_counter()
            job = board.post("job", book, details={"flow_uuid": engine.storage.flow_uuid})
            job.wait(60)
            spent.append(STARTED[-1] - start)
        running.join()
    return spent
