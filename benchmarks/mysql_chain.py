"""A chain in MariaDB, each commit flushed, compared with a bare loop of one commit a task over PyMySQL."""

from __future__ import annotations

import contextlib
import sys
import time
import uuid
from collections.abc import Iterator

import pymysql
import sqlalchemy as sa

from benchmarks import servers
from benchmarks.engine import chain_cost, require
from benchmarks.measure import interleave
from benchmarks.programs import step
from benchmarks.rows import Row
from scripts.servers.server import ServerError
from stackl_flow.persistence import backends

NAME = "mysql-chain"
FLUSHED = ("--innodb-flush-log-at-trx-commit=1",)


def rows(quick: bool) -> Iterator[Row]:
    """Compare with the bare loop at 2,000 tasks; no rows if the server is not installed."""
    size, repeats = (200, 1) if quick else (2_000, 5)
    try:
        with servers.server("mysql", *FLUSHED) as url:
            works = {
                "ours": lambda: durable(url, size),
                "bare loop of commits": lambda: bare(url, size),
            }
            ours, peer = interleave(repeats, works)
    except ServerError as error:
        print(f"skipped: {error}", file=sys.stderr)
        return
    yield Row(NAME, f"{size:,} tasks, flushed", "us", ours, peer)


@contextlib.contextmanager
def database(url: str) -> Iterator[str]:
    """Create a database, yield its name and drop it."""
    name = f"bench_{uuid.uuid4().hex}"
    with connect(url) as server, server.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        try:
            yield name
        finally:
            cursor.execute(f"DROP DATABASE {name}")


def connect(url: str) -> pymysql.Connection:
    """Connect to a server, or to a database on it."""
    to = sa.make_url(url)
    return pymysql.connect(
        host=to.host, port=to.port or 3306, user=to.username, password=to.password or "", database=to.database
    )


def durable(url: str, size: int) -> float:
    """Run the chain in empty tables.

    Returns:
        Seconds a task, including storing the flow and its atoms, without creating the tables.
    """
    with database(url) as name, backends.backend(with_database(url, name)) as backend:
        return chain_cost("stackl_flow", size, backend=backend)


def bare(url: str, size: int) -> float:
    """Make the same calls and commit one row for each.

    Returns:
        Seconds a call.
    """
    with database(url) as name, connect(with_database(url, name)) as server, server.cursor() as cursor:
        cursor.execute("CREATE TABLE done (task TEXT, result TEXT)")
        start = time.perf_counter()
        value = 0
        for index in range(size):
            value = step(value)
            cursor.execute("INSERT INTO done VALUES (%s, %s)", (f"t{index}", str(value)))
            server.commit()
        spent = time.perf_counter() - start
    require(value, size)
    return spent / size


def with_database(url: str, name: str) -> str:
    """Return the URL of a database on a server."""
    return sa.make_url(url).set(database=name).render_as_string(hide_password=False)
