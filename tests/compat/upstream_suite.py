"""Groups of TaskFlow's test modules; each runs in one process, once per test run."""

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
from tests.compat.exclusions import EXCLUDED_TESTS
from tests.compat.work_pool import POOL

ROOT = Path(__file__).resolve().parents[2]

#: Test modules and packages of features that are not implemented yet.
NOT_IMPLEMENTED = {"worker_based": "remote execution uses Celery, Dask or Ray; not implemented yet"}

#: Modules that run in one process, slowest groups first; all other modules are in the last group.
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

#: Groups that need a server, and the environment variable of its port in TaskFlow's tests.
SERVERS = {group: f"TASKFLOW_TEST_{group.upper()}_PORT" for group in ("zookeeper", "redis", "etcd")}

#: Groups that need the loader of unittest, because of their scenarios.
UNITTEST = {"scenarios", "zookeeper"}

#: The timeout of a group in seconds.
TIMEOUT = 300


def modules() -> list[str]:
    """List TaskFlow's test modules whose subject is implemented."""
    paths = (path.relative_to(wheel.unit()) for path in wheel.unit().rglob("test_*.py"))
    names = sorted(".".join(path.with_suffix("").parts) for path in paths)
    return [
        name
        for name in names
        if not any(name == prefix or name.startswith(f"{prefix}.") for prefix in NOT_IMPLEMENTED)
    ]


def group_of(module: str) -> str:
    """Return the group of a module."""
    return next((group for group, members in GROUPS.items() if module in members), "others")


@dataclass(frozen=True)
class Outcome:
    """The results of a group: tests by module, seconds, and files of the wheel that were opened."""

    modules: dict[str, dict[str, dict[str, Any]]]
    seconds: float
    opened: list[str]
    output: str


def run(
    names: list[str],
    library: str = "stackl_flow",
    loader: str = "pytest",
    server: dict[str, str] | None = None,
) -> Outcome:
    """Run modules in a separate process; ``server`` is added to its environment."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "outcome.json"
        command = [
            sys.executable,
            "-m",
            "tests.compat.upstream_runner",
            "--library",
            library,
            "--loader",
            loader,
        ]
        process = subprocess.run(
            [*command, "--out", str(out), *names],
            cwd=ROOT, env={**os.environ, **(server or {})}, capture_output=True, text=True, timeout=TIMEOUT,
            check=False,
        )  # fmt: skip
        output = (process.stdout + process.stderr)[-4000:]
        if not out.exists():
            return Outcome({}, 0.0, [], output)
        return Outcome(**json.loads(out.read_text()), output=output)


_BEGUN: dict[tuple[str, str], Future[Outcome]] = {}


def begin(group: str, library: str = "stackl_flow", port: int | None = None) -> Future[Outcome]:
    """Start a group unless it is running; ``port`` is that of a running server."""
    if (group, library) not in _BEGUN:
        _BEGUN[group, library] = POOL.submit(_run_group, group, library, port)
    return _BEGUN[group, library]


def of_group(group: str, library: str = "stackl_flow") -> Outcome:
    """Return the results of a group, which runs once.

    Raises:
        ServerError: its server is not installed.
    """
    return begin(group, library).result()


def is_complete() -> bool:
    """Return whether all groups ran on stackl_flow."""
    return all((group, "stackl_flow") in _BEGUN and _BEGUN[group, "stackl_flow"].done() for group in GROUPS)


def _run_group(group: str, library: str, port: int | None) -> Outcome:
    names = [module for module in modules() if group_of(module) == group]
    with contextlib.ExitStack() as stack:
        server = {}
        if group in SERVERS:
            if port is None:
                new_server = Server(KINDS[group])
                stack.callback(new_server.close)
                new_server.start()
                port = new_server.port
            server = {SERVERS[group]: str(port), "TAKSFLOW_TEST_URL": f"{group}://"}
        return run(names, library, "unittest" if group in UNITTEST else "pytest", server)


@dataclass(frozen=True)
class Tally:
    """The results of a module."""

    module: str
    passed: list[str]
    skipped: list[str]
    failed: dict[str, str]
    excluded: dict[str, str]
    invalid_exclusions: list[str]

    @property
    def count(self) -> int:
        """The number of tests."""
        return len(self.passed) + len(self.skipped) + len(self.failed) + len(self.excluded)


def _reason(module: str, test: str) -> str | None:
    """Return why a test is excluded; an entry may name it, with or without its scenario, or its class."""
    plain = test.partition("(")[0]
    for name in (test, plain, plain.rpartition(".")[0]):
        if (module, name) in EXCLUDED_TESTS:
            return EXCLUDED_TESTS[module, name]
    return None


def tally(module: str) -> Tally:
    """Compare the results of a module with the exclusions."""
    results = of_group(group_of(module)).modules.get(module, {})
    result = Tally(module, [], [], {}, {}, [])
    for test, entry in results.items():
        reason = _reason(module, test)
        if reason is not None and entry["outcome"] != "skipped":
            if entry["outcome"] == "passed":
                result.invalid_exclusions.append(f"{test} is excluded but passes")
            result.excluded[test] = reason
        elif entry["outcome"] == "passed":
            result.passed.append(test)
        elif entry["outcome"] == "skipped":
            result.skipped.append(test)
        else:
            result.failed[test] = entry["text"]
    plain = {test.partition("(")[0] for test in results}
    existing = {*results, *plain, *(test.rpartition(".")[0] for test in plain)}
    result.invalid_exclusions.extend(
        f"{name} is excluded but does not exist"
        for excluded_module, name in EXCLUDED_TESTS
        if excluded_module == module and name not in existing
    )
    return result
