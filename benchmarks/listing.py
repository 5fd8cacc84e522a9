"""``jobs list`` with everything that it shows, compared with iterating over the same jobs."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator
from functools import partial

from benchmarks import databases
from benchmarks.boards import filled
from benchmarks.conductors import SERVERS, new_url
from benchmarks.measure import interleave
from benchmarks.posting import server_or_nothing
from benchmarks.rows import Goal, Row
from benchmarks.servers import server_if_installed
from stackl_flow.control import boards as control
from stackl_flow.jobboards.base import JobBoard

NAME = "listing"


def rows(quick: bool) -> Iterator[Row]:
    """Memory, SQLite, and the installed servers."""
    jobs, repeats = (50, 1) if quick else (1_000, 7)
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(databases.scratch())
        urls = {"memory": f"memory://{uuid.uuid4()}", "SQLite": f"sqlite:///{path}"}
        for kind, (name, _) in SERVERS.items():
            server = stack.enter_context(server_if_installed(kind))
            if server is not None:
                urls[name] = new_url(server)
        postgresql = stack.enter_context(server_or_nothing("postgresql"))
        if postgresql is not None:
            urls["PostgreSQL"] = postgresql
        for name, url in urls.items():
            with filled(url, jobs) as board:
                works = {"ours": partial(listed, board, jobs), "iterjobs": partial(iterated, board, jobs)}
                ours, peer = interleave(repeats, works)
            goal = Goal(at_most_ratio=3)
            yield Row(NAME, f"jobs list of {jobs:,} jobs, {name}", "us", ours, peer, goal, judged=not quick)


def listed(board: JobBoard, jobs: int) -> float:
    """Time a listing as the command makes it."""
    start = time.perf_counter()
    found = control.list_jobs(board, None, jobs)
    spent = time.perf_counter() - start
    check(len(list(found)), jobs)
    return spent / jobs


def iterated(board: JobBoard, jobs: int) -> float:
    """Time an iteration over the jobs."""
    start = time.perf_counter()
    found = list(board.iterjobs())
    spent = time.perf_counter() - start
    check(len(found), jobs)
    return spent / jobs


def check(found: int, expected: int) -> None:
    """Check that nothing was left out."""
    if found != expected:
        raise RuntimeError(f"listed {found} jobs instead of {expected}")
