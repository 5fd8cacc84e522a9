"""How long ``import stackl_flow`` takes in a fresh interpreter, and what it drags in."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.measure import ROOT, interleave
from benchmarks.rows import Goal, Row, Samples

NAME = "import"
DRIVERS = frozenset(
    {
        *("sqlite3", "sqlalchemy", "alembic", "psycopg", "pymysql"),
        *("redis", "kazoo", "etcd3gw"),
        *("celery", "kombu", "dask", "distributed", "ray"),
    }
)
PROGRAM = """
import json, sys, time
start = time.perf_counter()
{line}
print(json.dumps([time.perf_counter() - start, sorted({{name.partition(".")[0] for name in sys.modules}})]))
"""
USED = (
    "from {0} import engines, task, retry; from {0}.patterns import linear_flow, unordered_flow, graph_flow"
)


def rows(quick: bool) -> Iterator[Row]:
    """The package by itself, and the modules that a first flow needs, beside TaskFlow's.

    Args:
        quick: small sizes, to show that it works.

    Yields:
        The lines of the table.
    """
    repeats = 3 if quick else 15
    yield compared("import stackl_flow", "import {0}", repeats, Goal(at_most=150), judged=not quick)
    # The root serves its names lazily, so what a first flow imports is told as well, without a target.
    yield compared("engines, task, retry, patterns", USED, repeats)
    _, modules = imported("stackl_flow", USED)
    drivers = Samples("ours", [len(modules & DRIVERS)])
    yield Row(NAME, "drivers of backends among them", "n", drivers, goal=Goal(at_most=0))


def compared(case: str, line: str, repeats: int, goal: Goal | None = None, judged: bool = True) -> Row:
    """The same import from both libraries.

    Args:
        case: what the table calls it.
        line: the statement, with ``{0}`` for the library.
        repeats: how many fresh interpreters each.
        goal: the target, if there is one.
        judged: whether the target counts.

    Returns:
        The line of the table.
    """
    for name in ("stackl_flow", "taskflow"):
        imported(name, line)  # compiles what is not compiled yet
    ours, peer = interleave(
        repeats,
        {"ours": lambda: imported("stackl_flow", line)[0], "TaskFlow": lambda: imported("taskflow", line)[0]},
    )
    return Row(NAME, case, "ms", ours, peer, goal, judged)


def imported(name: str, line: str) -> tuple[float, set[str]]:
    """Import in a fresh interpreter.

    Args:
        name: the library.
        line: the statement.

    Returns:
        Seconds, and the top-level names of all modules then loaded.
    """
    command = [sys.executable, "-c", PROGRAM.format(line=line.format(name))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    spent, modules = json.loads(done.stdout)
    return spent, set(modules)
