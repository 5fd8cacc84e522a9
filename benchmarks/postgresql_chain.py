"""A chain in PostgreSQL, each commit flushed, compared with a bare loop of one commit a task over psycopg."""

from __future__ import annotations

import contextlib
import sys
import time
import uuid
from collections.abc import Iterator

import psycopg
from psycopg import sql

from benchmarks import servers
from benchmarks.engine import chain_cost, require
from benchmarks.measure import interleave
from benchmarks.programs import step
from benchmarks.rows import Goal, Row
from scripts.servers.server import ServerError
from stackl_flow.persistence import backends

NAME = "postgresql-chain"
#: Servers for tests do not wait for the disk; this one must.
FLUSHED = ("-c", "fsync=on", "-c", "synchronous_commit=on")


@contextlib.contextmanager
def schema(url: str) -> Iterator[str]:
    """Create a schema, yield its name and drop it."""
    name = f"bench_{uuid.uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
        try:
            yield name
        finally:
            server.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


def rows(quick: bool) -> Iterator[Row]:
    """Compare with the bare loop at 2,000 tasks; no rows if the server is not installed."""
    size, repeats = (200, 1) if quick else (2_000, 7)
    try:
        with servers.server("postgresql", *FLUSHED) as url:
            works = {
                "ours": lambda: durable(url, size),
                "bare loop of commits": lambda: bare(url, size),
            }
            ours, peer = interleave(repeats, works)
    except ServerError as error:
        print(f"skipped: {error}", file=sys.stderr)
        return
    yield Row(NAME, f"{size:,} tasks, fsync=on", "us", ours, peer, Goal(at_most_ratio=1.3), not quick)


def durable(url: str, size: int) -> float:
    """Run the chain in empty tables.

    Returns:
        Seconds a task, including storing the flow and its atoms, without creating the tables.
    """
    with schema(url) as name, backends.backend(f"{url}?options=-csearch_path%3D{name}") as backend:
        return chain_cost("stackl_flow", size, backend=backend)


def bare(url: str, size: int) -> float:
    """Make the same calls and commit one row for each.

    Returns:
        Seconds a call.
    """
    with schema(url) as name, psycopg.connect(url, options=f"-csearch_path={name}") as server:
        server.execute("CREATE TABLE done (task TEXT, result TEXT)")
        server.commit()
        start = time.perf_counter()
        value = 0
        for index in range(size):
            value = step(value)
            server.execute("INSERT INTO done VALUES (%s, %s)", (f"t{index}", str(value)))
            server.commit()
        spent = time.perf_counter() - start
    require(value, size)
    return spent / size
