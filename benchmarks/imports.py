"""Time of ``import stackl_flow`` in a fresh interpreter, and the modules that it imports."""

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
    """Compare importing the package, and the modules that a first flow needs, with TaskFlow's."""
    repeats = 3 if quick else 15
    yield compare("import stackl_flow", "import {0}", repeats, Goal(at_most=10), judged=not quick)
    # The root package imports lazily, so what a first flow imports is measured as well.
    yield compare("engines, task, retry, patterns", USED, repeats)
    _, modules = import_fresh("stackl_flow", USED)
    drivers = Samples("ours", [len(modules & DRIVERS)])
    yield Row(NAME, "drivers of backends among them", "n", drivers, goal=Goal(at_most=0))


def compare(case: str, line: str, repeats: int, goal: Goal | None = None, judged: bool = True) -> Row:
    """The same import from both libraries.

    Returns:
        The line of the table.
    """
    for name in ("stackl_flow", "taskflow"):
        import_fresh(name, line)  # writes missing .pyc files
    ours, peer = interleave(
        repeats,
        {
            "ours": lambda: import_fresh("stackl_flow", line)[0],
            "TaskFlow": lambda: import_fresh("taskflow", line)[0],
        },
    )
    return Row(NAME, case, "ms", ours, peer, goal, judged)


def import_fresh(name: str, line: str) -> tuple[float, set[str]]:
    """Import in a fresh interpreter.

    Returns:
        Seconds, and the top-level names of all modules that are loaded then.
    """
    command = [sys.executable, "-c", PROGRAM.format(line=line.format(name))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    spent, modules = json.loads(done.stdout)
    return spent, set(modules)
