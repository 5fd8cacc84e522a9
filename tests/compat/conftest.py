"""Prints how long the wheel's tests took, beside TaskFlow itself; runs code in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

from tests.compat import suite, table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if suite.of_group.cache_info().currsize == len(suite.GROUPS):
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
