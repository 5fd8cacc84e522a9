"""Begins what takes long before it is asked for; says how long the wheel's tests took; runs code."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from urllib.parse import urlsplit

import pytest

from tests.compat import examples, suite, table


@pytest.fixture(scope="session", autouse=True)
def work_ahead(request):
    """Begins the groups and the programs that were asked for."""

    def port_of(server):
        """Say where a server is; what needs one that is missing is left to its own test."""
        try:
            return urlsplit(request.getfixturevalue(f"{server}_url")).port
        except (pytest.skip.Exception, pytest.fail.Exception):
            return None

    asked = [item for item in request.session.items if "tests/compat/" in item.nodeid]
    params = [item.callspec.params for item in asked if hasattr(item, "callspec")]
    wanted = {suite.group_of(each["module"]) for each in params if "module" in each}
    groups = [group for group in suite.GROUPS if group in wanted]
    for group in groups:
        port = port_of(group) if group in suite.SERVERS else 0
        if port is not None:
            suite.begin(group, port=port)
    for name in [each["name"] for each in params if each.get("name") in examples.programs()]:
        port = port_of("zookeeper") if name in examples.ON_ZOOKEEPER else 0
        if port is not None:
            examples.begin(name, port)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if suite.is_complete():
        here, there = table.seconds()
        terminalreporter.section("TaskFlow's own tests")
        terminalreporter.write_line(f"{here:.1f} s here, {there:.1f} s on TaskFlow itself when last measured")


@pytest.fixture
def python(tmp_path):
    """Runs code in a process of its own, where nothing is installed yet."""

    def run(code, *paths):
        path = os.pathsep.join(map(str, (suite.ROOT, *paths)))
        done = subprocess.run(
            [sys.executable, "-W", "error::ImportWarning", "-c", textwrap.dedent(code)],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run
