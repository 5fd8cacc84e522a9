"""Groups of the wheel's test modules, each run in one process, once in a test run."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.servers.definitions import KINDS
from scripts.servers.server import Server
from tests.compat import wheel
from tests.compat.ahead import POOL
from tests.compat.left_out import LEFT_OUT

ROOT = Path(__file__).resolve().parents[2]

#: What the wheel has for rooms that do not exist here yet; each name stands for all below it.
LATER = {"worker_based": "remote execution is done by Celery, Dask or Ray; its room is not built yet"}

#: Modules run together in one process, those that take longest first; those of no group run in the last one.
GROUPS = {
    "zookeeper": (
        "jobs.test_zk_job",
        "persistence.test_zk_persistence",
        "test_conductors",
        "test_listeners",
    ),
    "retries": ("test_retries",),
    "persistence": (
        "persistence.test_memory_persistence",
        "persistence.test_sql_persistence",
        "test_storage",
    ),
    "scenarios": ("persistence.test_dir_persistence", "test_utils"),
    "engines": (
        "test_engines",
        "test_arguments_passing",
        "test_suspend",
        "test_engine_helpers",
        "test_progress",
    ),
    "redis": ("jobs.test_redis_job",),
    "etcd": ("jobs.test_etcd_job",),
    "others": (),
}

#: Groups that need a real server, and what TaskFlow's tests read its port from.
SERVERS = {group: f"TASKFLOW_TEST_{group.upper()}_PORT" for group in ("zookeeper", "redis", "etcd")}

#: Groups that need unittest's own loader, because only it knows scenarios.
UNITTEST = {"scenarios", "zookeeper"}

#: A whole group that takes longer has hung; seconds.
PATIENCE = 300


def modules() -> list[str]:
    """List the wheel's test modules whose rooms exist."""
    paths = (path.relative_to(wheel.unit()) for path in wheel.unit().rglob("test_*.py"))
    names = sorted(".".join(path.with_suffix("").parts) for path in paths)
    return [name for name in names if not any(name == late or name.startswith(f"{late}.") for late in LATER)]


def group_of(module: str) -> str:
    """Name the group in which a module runs."""
    return next((group for group, members in GROUPS.items() if module in members), "others")


@dataclass(frozen=True)
class Outcome:
    """What came of a group: tests by module, seconds, and the wheel's files that were touched."""

    modules: dict[str, dict[str, dict[str, Any]]]
    seconds: float
    foreign: list[str]
    said: str


def run(
    names: list[str], library: str = "ours", loader: str = "pytest", server: dict[str, str] | None = None
) -> Outcome:
    """Run modules in a process of their own; ``server`` is what its environment says of a server."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "outcome.json"
        command = [sys.executable, "-m", "tests.compat.child", "--library", library, "--loader", loader]
        done = subprocess.run(
            [*command, "--out", str(out), *names],
            cwd=ROOT, env={**os.environ, **(server or {})}, capture_output=True, text=True, timeout=PATIENCE,
            check=False,
        )  # fmt: skip
        said = (done.stdout + done.stderr)[-4000:]
        if not out.exists():
            return Outcome({}, 0.0, [], said)
        return Outcome(**json.loads(out.read_text()), said=said)


_BEGUN: dict[tuple[str, str], Future[Outcome]] = {}


def begin(group: str, library: str = "ours", port: int | None = None) -> Future[Outcome]:
    """Have a group run, unless it runs already; ``port`` is that of a server that is there already."""
    if (group, library) not in _BEGUN:
        _BEGUN[group, library] = POOL.submit(_run_group, group, library, port)
    return _BEGUN[group, library]


def of_group(group: str, library: str = "ours") -> Outcome:
    """Wait for what came of a group, which is run once.

    Raises:
        ServerError: a server that it needs is not installed here.
    """
    return begin(group, library).result()


def is_complete() -> bool:
    """Say whether all groups were run on us."""
    return all((group, "ours") in _BEGUN and _BEGUN[group, "ours"].done() for group in GROUPS)


def _run_group(group: str, library: str, port: int | None) -> Outcome:
    names = [module for module in modules() if group_of(module) == group]
    with contextlib.ExitStack() as stack:
        server = {}
        if group in SERVERS:
            if port is None:
                started = Server(KINDS[group])
                stack.callback(started.close)
                started.start()
                port = started.port
            server = {SERVERS[group]: str(port), "TAKSFLOW_TEST_URL": f"{group}://"}
        return run(names, library, "unittest" if group in UNITTEST else "pytest", server)


@dataclass(frozen=True)
class Tally:
    """What came of one module."""

    module: str
    passed: list[str]
    skipped: list[str]
    failed: dict[str, str]
    left_out: dict[str, str]
    wrongly_listed: list[str]

    @property
    def count(self) -> int:
        """How many tests there are."""
        return len(self.passed) + len(self.skipped) + len(self.failed) + len(self.left_out)


def _reason(module: str, test: str) -> str | None:
    """Find why a test is left out; a line may name it, with or without its scenario, or its whole class."""
    plain = test.partition("(")[0]
    for name in (test, plain, plain.rpartition(".")[0]):
        if (module, name) in LEFT_OUT:
            return LEFT_OUT[module, name]
    return None


def tally(module: str) -> Tally:
    """Say what came of one module, against the list of what is left out."""
    found = of_group(group_of(module)).modules.get(module, {})
    result = Tally(module, [], [], {}, {}, [])
    for test, verdict in found.items():
        reason = _reason(module, test)
        if reason is not None and verdict["outcome"] != "skipped":
            if verdict["outcome"] == "passed":
                result.wrongly_listed.append(f"{test} is left out, and passes")
            result.left_out[test] = reason
        elif verdict["outcome"] == "passed":
            result.passed.append(test)
        elif verdict["outcome"] == "skipped":
            result.skipped.append(test)
        else:
            result.failed[test] = verdict["text"]
    plain = {test.partition("(")[0] for test in found}
    there = {*found, *plain, *(test.rpartition(".")[0] for test in plain)}
    result.wrongly_listed.extend(
        f"{name} is left out, and does not exist"
        for of, name in LEFT_OUT
        if of == module and name not in there
    )
    return result
