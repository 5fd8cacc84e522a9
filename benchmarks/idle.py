"""The requests that a conductor without jobs makes, as its server counts them."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from benchmarks import databases
from benchmarks.measure import ROOT
from benchmarks.posting import server_or_nothing
from benchmarks.rows import Goal, Row, Samples

NAME = "idle"
#: Requests a minute.
GOAL = 60
#: Seconds until a conductor has started; what it does at its start is not counted.
SETTLING = 6.0

#: Returns the requests that a server has served so far.
Count = Callable[[], int]


def rows(quick: bool) -> Iterator[Row]:
    """Redis and PostgreSQL by their own counts; SQLite by the statements of the conductor's process."""
    seconds = 3.0 if quick else 60.0
    with server_or_nothing("redis") as url:
        if url is not None:
            yield row("Redis", idle(url, redis_count(url), seconds), quick)
    with server_or_nothing("postgresql") as url:
        if url is not None:
            yield row("PostgreSQL", idle(url, postgresql_count(url), seconds), quick)
    with databases.scratch() as path:
        yield row("SQLite", idle(f"sqlite:///{path}", None, seconds), quick)


def row(store: str, rate: float, quick: bool) -> Row:
    """Return the row of a store; the rate is in requests a second."""
    samples = Samples("ours", [rate])
    return Row(
        NAME,
        f"requests of an idle conductor, {store}",
        "/min",
        samples,
        goal=Goal(at_most=GOAL),
        judged=not quick,
    )


def idle(url: str, count: Count | None, seconds: float) -> float:
    """Run a conductor without jobs in a process of its own.

    Returns:
        Requests a second, without those of the count itself.
    """
    command = [sys.executable, "-m", "benchmarks.idle", url, str(SETTLING), str(seconds)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as conductor:
        assert conductor.stdout is not None  # noqa: S101  opened above
        conductor.stdout.readline()  # it has settled
        before = 0 if count is None else count()
        counted = json.loads(conductor.stdout.readline())
        made = counted if count is None else count() - before - 1
    return float(made) / seconds


def redis_count(url: str) -> Count:
    """Return a function that counts the commands of a Redis server."""
    import redis  # noqa: PLC0415  only where it is measured

    parts = urlsplit(url)
    client = redis.Redis(parts.hostname or "localhost", parts.port or 6379)
    return lambda: int(client.info("stats")["total_commands_processed"])


def postgresql_count(url: str) -> Count:
    """Return a function that counts the transactions of a PostgreSQL database."""
    import psycopg  # noqa: PLC0415  as above

    server = psycopg.connect(url, autocommit=True)

    def count() -> int:
        time.sleep(1.5)  # statistics of other sessions arrive late
        server.execute("SELECT pg_stat_clear_snapshot()")
        found = server.execute(
            "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
        return int(found[0]) if found else 0

    return count


def conduct(url: str, settling: float, seconds: float) -> None:
    """Run a conductor on an empty board; print when it has settled, and its SQLite statements."""
    import threading  # noqa: PLC0415  in this process only

    import sqlalchemy as sa  # noqa: PLC0415  as above

    from stackl_flow.conductors import backends as conductors  # noqa: PLC0415  as above
    from stackl_flow.jobboards import backends as boards  # noqa: PLC0415  as above

    statements = 0

    def traced(text: str) -> None:
        nonlocal statements
        statements += text.lstrip().upper().startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"))

    def connected(connection: object, *_: object) -> None:
        with contextlib.suppress(AttributeError):  # not SQLite
            connection.set_trace_callback(traced)  # type: ignore[attr-defined]

    sa.event.listen(sa.pool.Pool, "connect", connected)
    with boards.backend("bench", url) as board:
        conductor = conductors.fetch("blocking", "idle", board)
        running = threading.Thread(target=conductor.run)
        running.start()
        time.sleep(settling)
        print("settled", flush=True)
        before = statements
        time.sleep(seconds)
        print(json.dumps(statements - before), flush=True)
        conductor.stop()
        running.join()


if __name__ == "__main__":
    conduct(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
