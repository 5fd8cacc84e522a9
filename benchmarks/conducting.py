"""Jobs through one conductor, beside TaskFlow's on the same server; and how soon a posted job starts."""

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
from benchmarks.places import a_server
from benchmarks.programs import library, step
from benchmarks.rows import Goal, Row, Samples

NAME = "conductor"
#: When the tasks of the latency jobs began, in seconds of ``perf_counter``.
BEGUN: list[float] = []


#: So many times as many jobs as TaskFlow's conductor does ours, with flows in memory.
MORE = 5
#: The servers on which TaskFlow has boards, too: what to call them, and its settings for one.
SERVERS: Mapping[str, tuple[str, Callable[[str, int], dict[str, Any]]]] = {
    "redis": ("Redis", lambda host, port: {"host": host, "port": port, "namespace": key()}),
    "zookeeper": ("ZooKeeper", lambda host, port: {"hosts": f"{host}:{port}", "path": f"/{key()}"}),
    "etcd": ("etcd", lambda host, port: {"host": host, "port": port, "path": key()}),
}


def rows(quick: bool) -> Iterator[Row]:
    """Ours on several places, beside TaskFlow on those servers that are there.

    Args:
        quick: small sizes, to show that it works.

    Yields:
        The lines of the table.
    """
    jobs, repeats = (10, 1) if quick else (300, 5)
    with databases.scratch() as path:
        yield alone("memory, flows in memory", lambda: ("memory://" + key(), "memory"), jobs, repeats)
        files = lambda: (f"sqlite:///{path}.{key()}", f"sqlite:///{path}.{key()}")  # noqa: E731  a pair of addresses
        yield alone("SQLite, flows in SQLite", files, jobs, repeats)
    for kind in SERVERS:
        with a_server(kind) as server:
            if server is None:
                print(f"no {kind} here: its lines are left out", file=sys.stderr)
                continue
            yield beside_taskflow(kind, server, "memory", jobs, repeats, judged=not quick)
            if kind != "redis":
                continue
            yield beside_taskflow(kind, server, place(server), jobs, repeats, judged=not quick)
            told = Samples("ours", latencies(server, 10 if quick else 200))
            yield Row(NAME, "post to start, Redis", "ms", told, goal=Goal(at_most=10), judged=not quick)


def key() -> str:
    """A name that nobody has used."""
    return uuid.uuid4().hex


def place(server: str) -> str:
    """An address on a server that nobody has used."""
    return f"{server}?namespace={key()}" if server.startswith("redis") else f"{server}/{key()}"


def alone(case: str, addresses: Callable[[], tuple[str, str]], jobs: int, repeats: int) -> Row:
    """Ours on places that TaskFlow's boards do not know."""
    (ours,) = interleave(repeats, {"ours": lambda: ours_seconds(*addresses(), jobs)})
    return Row(NAME, f"{jobs} jobs, {case}", "us", ours)


def beside_taskflow(kind: str, server: str, flows: str, jobs: int, repeats: int, *, judged: bool) -> Row:
    """Both on one server; TaskFlow's flows are in memory. Where ours are not, nothing is judged.

    Ours get more jobs where they are over too soon: the process that keeps the lease starts meanwhile, and
    takes half a second of one processor. TaskFlow's board reads all waiting jobs again and again: more of
    them would slow it.
    """
    in_memory = flows == "memory"
    more = jobs * MORE if in_memory else jobs
    ours, peer = interleave(
        repeats,
        {
            "ours": lambda: ours_seconds(place(server), flows, more),
            "TaskFlow": lambda: taskflow_seconds(kind, server, jobs),
        },
    )
    name = SERVERS[kind][0]
    case = f"{more:,} jobs, {name}, flows in {'memory' if in_memory else name}"
    return Row(NAME, case, "us", ours, peer, Goal(at_least_faster=5) if in_memory else None, judged)


def no_op(name: str) -> Any:
    """The flow of each job: one task."""
    lib = library(name)
    task = lib.task.FunctorTask(step, name="step", provides="after", inject={"value": 0})
    return lib.linear.Flow("no-op").add(task)


def noted() -> Any:
    """The flow of a job that notes when its task begins."""
    lib = library("stackl_flow")
    return lib.linear.Flow("noted").add(lib.task.FunctorTask(note, name="note"))


def note() -> None:
    """The task of such a job."""
    BEGUN.append(time.perf_counter())


def ours_seconds(address: str, flows: str, jobs: int) -> float:
    """Post jobs, and time the conductor that runs them all.

    Args:
        address: of the board.
        flows: address of the persistence.
        jobs: how many.

    Returns:
        Seconds a job.
    """
    with opened("stackl_flow.persistence", flows) as store:
        return conducted("stackl_flow", store, jobs, {"connection": address})


def taskflow_seconds(kind: str, server: str, jobs: int) -> float:
    """The same with TaskFlow."""
    host, _, port = server.partition("://")[2].partition("/")[0].partition(":")
    conf = {"board": kind, **SERVERS[kind][1](host, int(port))}
    with opened("taskflow.persistence", "memory") as store:
        return conducted("taskflow", store, jobs, conf)


@contextlib.contextmanager
def opened(package: str, address: str) -> Iterator[Any]:
    """A persistence with its schema in place."""
    backend = importlib.import_module(f"{package}.backends").fetch({"connection": address})
    with contextlib.closing(backend):
        with contextlib.closing(backend.get_connection()) as connection:
            connection.upgrade()
        yield backend


def conducted(name: str, store: Any, jobs: int, conf: Mapping[str, Any]) -> float:
    """Run no-op jobs through one conductor, timed from the end of the first to that of the last."""
    boards = "jobboards" if name == "stackl_flow" else "jobs"
    fetch = importlib.import_module(f"{name}.{boards}.backends").fetch
    conductors = importlib.import_module(f"{name}.conductors.backends")
    board = fetch("bench", dict(conf), persistence=store)
    board.connect()
    with contextlib.closing(board):
        for _ in range(jobs + 1):
            post(name, board, store)
        conductor = conductors.fetch("blocking", f"c-{key()}", board, persistence=store, engine="serial")
        ends: list[float] = []

        def ended(*_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())
            if len(ends) > jobs:
                conductor.stop()

        conductor.notifier.register("job_consumed", ended)
        conductor.run()
        if board.job_count:
            raise RuntimeError(f"{board.job_count} jobs are left of {conf}: the figure means nothing")
    return (ends[-1] - ends[0]) / jobs


def post(name: str, board: Any, store: Any) -> None:
    """Post a no-op job the way TaskFlow's users do, which is one of ours, too."""
    models = importlib.import_module(f"{name}.persistence.models")
    book, detail = models.LogBook("job"), models.FlowDetail("flow", str(uuid.uuid4()))
    book.add(detail)
    with contextlib.closing(store.get_connection()) as connection:
        connection.save_logbook(book)
    engines = importlib.import_module(f"{name}.engines")
    engines.save_factory_details(detail, no_op, [name], {}, backend=store)
    board.post("job", book, details={"flow_uuid": detail.uuid})


def latencies(server: str, jobs: int) -> list[float]:
    """Post one job after the other to an idle conductor.

    Args:
        server: where board and flows are.
        jobs: how many.

    Returns:
        Seconds from the call of ``post`` to the first line of the job's task; storing the flow is not in it.
    """
    from stackl_flow import engines  # noqa: PLC0415  TaskFlow's figures are taken without it
    from stackl_flow.conductors import backends as conductors  # noqa: PLC0415
    from stackl_flow.jobboards import backends as boards  # noqa: PLC0415
    from stackl_flow.persistence.models import LogBook  # noqa: PLC0415

    address = place(server)
    BEGUN.clear()
    spent = []
    with (
        opened("stackl_flow.persistence", place(server)) as store,
        boards.backend("bench", address, persistence=store) as board,
        boards.backend("bench", address, persistence=store) as theirs,
    ):
        conductor = conductors.fetch("blocking", f"c-{key()}", theirs, persistence=store)
        running = threading.Thread(target=conductor.run, kwargs={"max_dispatches": jobs})
        running.start()
        for _ in range(jobs):
            book = LogBook("job")
            engine = engines.load_from_factory(noted, book=book, backend=store)
            start = time.perf_counter()
            job = board.post("job", book, details={"flow_uuid": engine.storage.flow_uuid})
            job.wait(60)
            spent.append(BEGUN[-1] - start)
        running.join()
    return spent
