"""A board with 100,000 waiting jobs beside one with 100: a post, a claim, the first page of the list."""

from __future__ import annotations

import contextlib
import itertools
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial

from benchmarks import databases
from benchmarks.conducting import SERVERS, place
from benchmarks.measure import interleave
from benchmarks.places import a_server
from benchmarks.rows import Goal, Row
from stackl_flow.jobboards import backends, transactions
from stackl_flow.jobboards.base import JobBoard
from stackl_flow.jobboards.job import Posting
from stackl_flow.jobboards.keys import Places
from stackl_flow.kv import backends as kv_backends

NAME = "boards"
FEW = 100
PAGE = 20
#: Commits take so many jobs at once while a board is filled, where the place does not take less.
BATCH = 300
#: Jobs posted in a second, as far as their times tell.
A_SECOND = 1_000


def rows(quick: bool) -> Iterator[Row]:
    """On memory, on a SQLite file, and on those servers that are there.

    Args:
        quick: small sizes, to show that it works.

    Yields:
        The lines of the table.
    """
    many, rounds, repeats = (2_000, 10, 2) if quick else (100_000, 50, 9)
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(databases.scratch())
        addresses = {
            "memory": lambda: f"memory://{uuid.uuid4()}",
            "SQLite": lambda: f"sqlite:///{path}.{uuid.uuid4()}",
        }
        for kind, (name, _) in SERVERS.items():
            server = stack.enter_context(a_server(kind))
            if server is not None:
                addresses[name] = partial(place, server)
        for name, address in addresses.items():
            yield from beside_few(name, address, many, rounds, repeats, judged=not quick)


def beside_few(
    name: str, address: Callable[[], str], many: int, rounds: int, repeats: int, *, judged: bool
) -> Iterator[Row]:
    """The verbs on a large board beside those on a small one in the same place."""
    with filled(address(), many) as large, filled(address(), FEW) as small:
        for verb, work in VERBS.items():
            ours, peer = interleave(
                repeats,
                {"large": lambda: work(large, rounds), f"itself at {FEW}": lambda: work(small, rounds)},  # noqa: B023  runs now
            )
            yield Row(
                NAME, f"{verb}, {many:,} waiting, {name}", "us", ours, peer, Goal(at_most_ratio=1.5), judged
            )


@contextlib.contextmanager
def filled(address: str, jobs: int) -> Iterator[JobBoard]:
    """A board with waiting jobs, put there by many jobs to a commit, as that many posts would leave it."""
    places, begun = Places("bench"), time.time() - jobs / A_SECOND
    with backends.backend("bench", address) as board, kv_backends.fetch(address) as kv:
        numbers = iter(range(jobs))
        # Each post writes two items.
        most = min(BATCH, (kv.limits.operations or 2 * BATCH) // 2)
        while batch := list(itertools.islice(numbers, most)):
            times = [begun + n / A_SECOND for n in batch]
            posted = [Posting(str(uuid.uuid4()), "job", at, at, {}) for at in times]
            written = [transactions.post(places, each, each.created_on, new_group=False) for each in posted]
            kv.commit(puts=itertools.chain.from_iterable(writes.puts for writes in written))
        yield board


def post(board: JobBoard, rounds: int) -> float:
    """Post jobs; claimed and consumed afterwards, so that the board stays as large as it was."""
    start = time.perf_counter()
    posted = [board.post("more") for _ in range(rounds)]
    spent = time.perf_counter() - start
    for job in posted:
        board.claim(job, "bench")
        board.consume(job, "bench")
    return spent / rounds


def claim(board: JobBoard, rounds: int) -> float:
    """Wait for work and claim the first job, as a conductor does; given back afterwards."""
    start = time.perf_counter()
    claimed = [board.claim(next(board.wait(0)), "bench") for _ in range(rounds)]
    spent = time.perf_counter() - start
    for job in claimed:
        board.abandon(job, "bench", counts=False)
    return spent / rounds


def first_page(board: JobBoard, rounds: int) -> float:
    """List the first jobs."""
    start = time.perf_counter()
    for _ in range(rounds):
        page = list(itertools.islice(board.iterjobs(), PAGE))
    spent = time.perf_counter() - start
    if len(page) != PAGE:
        raise RuntimeError(f"a page of {len(page)} jobs: its figure means nothing")
    return spent / rounds


VERBS: dict[str, Callable[[JobBoard, int], float]] = {
    "post": post,
    "claim": claim,
    f"first {PAGE} of the list": first_page,
}
