"""Post, claim and list on a board with 100,000 waiting jobs, compared with a board of 100."""

from __future__ import annotations

import contextlib
import itertools
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial

from benchmarks import databases
from benchmarks.conductors import SERVERS, new_url
from benchmarks.measure import interleave
from benchmarks.rows import Goal, Row
from benchmarks.servers import server_if_installed
from stackl_flow.jobboards import backends, transactions
from stackl_flow.jobboards.base import JobBoard
from stackl_flow.jobboards.keys import BoardKeys
from stackl_flow.jobboards.record import JobRecord
from stackl_flow.kv import backends as kv_backends

NAME = "boards"
FEW = 100
PAGE = 20
#: Jobs in a commit while a board is filled, unless the store has a lower limit.
BATCH = 300
#: Apparent rate of the posts, by their times.
JOBS_PER_SECOND = 1_000


def rows(quick: bool) -> Iterator[Row]:
    """Memory, SQLite and the installed servers."""
    many, operations, repeats = (2_000, 10, 2) if quick else (100_000, 50, 9)
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(databases.scratch())
        urls = {
            "memory": lambda: f"memory://{uuid.uuid4()}",
            "SQLite": lambda: f"sqlite:///{path}.{uuid.uuid4()}",
        }
        for kind, (name, _) in SERVERS.items():
            server = stack.enter_context(server_if_installed(kind))
            if server is not None:
                urls[name] = partial(new_url, server)
        for name, url in urls.items():
            yield from compare_sizes(name, url, many, operations, repeats, judged=not quick)


def compare_sizes(
    name: str, url: Callable[[], str], many: int, operations: int, repeats: int, *, judged: bool
) -> Iterator[Row]:
    """Measure the operations on a large and on a small board in the same store."""
    with filled(url(), many) as large, filled(url(), FEW) as small:
        for operation, work in OPERATIONS.items():
            ours, peer = interleave(
                repeats,
                {
                    "large": partial(work, large, operations),
                    f"itself at {FEW}": partial(work, small, operations),
                },
            )
            yield Row(
                NAME,
                f"{operation}, {many:,} waiting, {name}",
                "us",
                ours,
                peer,
                Goal(at_most_ratio=1.5),
                judged,
            )


@contextlib.contextmanager
def filled(url: str, jobs: int) -> Iterator[JobBoard]:
    """Open a board with waiting jobs, written many to a commit, as posts would have written them."""
    keys, first_time = BoardKeys("bench"), time.time() - jobs / JOBS_PER_SECOND
    with backends.backend("bench", url) as board, kv_backends.fetch(url) as kv:
        numbers = iter(range(jobs))
        items = len(
            transactions.post(keys, JobRecord("uuid", "job", 0.0, 0.0, {}), 0.0, new_group=False).puts
        )
        batch_size = min(BATCH, (kv.limits.operations or items * BATCH) // items)
        while batch := list(itertools.islice(numbers, batch_size)):
            times = [first_time + n / JOBS_PER_SECOND for n in batch]
            posted = [JobRecord(str(uuid.uuid4()), "job", at, at, {}) for at in times]
            written = [transactions.post(keys, each, each.created_on, new_group=False) for each in posted]
            kv.commit(puts=itertools.chain.from_iterable(writes.puts for writes in written))
        yield board


def post(board: JobBoard, operations: int) -> float:
    """Time posts; the jobs are consumed afterwards, so that the board keeps its size."""
    start = time.perf_counter()
    posted = [board.post("more") for _ in range(operations)]
    spent = time.perf_counter() - start
    for job in posted:
        board.claim(job, "bench")
        board.consume(job, "bench")
    return spent / operations


def claim(board: JobBoard, operations: int) -> float:
    """Time waiting for a job and claiming it, as a conductor does; the jobs are abandoned afterwards."""
    start = time.perf_counter()
    claimed = [board.claim(next(board.wait(0)), "bench") for _ in range(operations)]
    spent = time.perf_counter() - start
    for job in claimed:
        board.abandon(job, "bench", counts=False)
    return spent / operations


def first_page(board: JobBoard, operations: int) -> float:
    """Time listing the first jobs."""
    start = time.perf_counter()
    for _ in range(operations):
        page = list(itertools.islice(board.iterjobs(), PAGE))
    spent = time.perf_counter() - start
    if len(page) != PAGE:
        raise RuntimeError(f"listed {len(page)} jobs instead of {PAGE}")
    return spent / operations


OPERATIONS: dict[str, Callable[[JobBoard, int], float]] = {
    "post": post,
    "claim": claim,
    f"first {PAGE} of the list": first_page,
}
