"""A chain in MariaDB, each commit flushed, beside a bare loop of one commit a task over PyMySQL."""

from __future__ import annotations

import contextlib
import sys
import time
import uuid
from collections.abc import Iterator

import pymysql
import sqlalchemy as sa

from benchmarks import flushed
from benchmarks.measure import interleave
from benchmarks.programs import step
from benchmarks.rows import Row
from benchmarks.running import chain_cost, require
from scripts.servers.server import ServerError
from stackl_flow.persistence import backends

NAME = "mysql-chain"
FLUSHED = ("--innodb-flush-log-at-trx-commit=1",)


def rows(quick: bool) -> Iterator[Row]:
    """Beside the bare loop at 2,000 tasks; nothing where there is no server.

    Args:
        quick: small sizes, to show that it works.

    Yields:
        The line of the table.
    """
    size, repeats = (200, 1) if quick else (2_000, 5)
    try:
        with flushed.server("mysql", *FLUSHED) as url:
            works = {
                "ours": lambda: durable(url, size),
                "bare loop of commits": lambda: bare(url, size),
            }
            ours, peer = interleave(repeats, works)
    except ServerError as error:
        print(f"left out: {error}", file=sys.stderr)
        return
    yield Row(NAME, f"{size:,} tasks, flushed", "us", ours, peer)


@contextlib.contextmanager
def database(url: str) -> Iterator[str]:
    """A database of its own, gone afterwards.

    Args:
        url: the server's address.

    Yields:
        Its name.
    """
    name = f"bench_{uuid.uuid4().hex}"
    with opened(url) as server, server.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        try:
            yield name
        finally:
            cursor.execute(f"DROP DATABASE {name}")


def opened(url: str) -> pymysql.Connection:
    """Connect to a server, or to a database on it."""
    to = sa.make_url(url)
    return pymysql.connect(
        host=to.host, port=to.port or 3306, user=to.username, password=to.password or "", database=to.database
    )


def durable(url: str, size: int) -> float:
    """Run the chain in tables that are in place and empty.

    Args:
        url: the server's address.
        size: how many tasks.

    Returns:
        Seconds a task; storing the flow and its atoms is in it, making the tables is not.
    """
    with database(url) as name, backends.backend(inside(url, name)) as backend:
        return chain_cost("stackl_flow", size, backend=backend)


def bare(url: str, size: int) -> float:
    """Make the same calls, and commit one row for each.

    Args:
        url: the server's address.
        size: how many calls.

    Returns:
        Seconds a call.
    """
    with database(url) as name, opened(inside(url, name)) as server, server.cursor() as cursor:
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


def inside(url: str, name: str) -> str:
    """The address of a database on a server."""
    return sa.make_url(url).set(database=name).render_as_string(hide_password=False)
