"""Starts slow processes before their results are needed; runs code in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from urllib.parse import urlsplit

import pytest

from tests.compat import examples, suite


@pytest.fixture(scope="session")
def work_ahead(request):
    """Start the groups and programs of all selected tests in the background.

    Only for test_wheel and test_examples, which run in one worker (see tests.support.scheduling).
    """

    def port_of(server):
        """Say where a server is; what needs one that is missing is left to its own test."""
        try:
            return urlsplit(request.getfixturevalue(f"{server}_url")).port
        except (pytest.skip.Exception, pytest.fail.Exception):
            return None

    asked = [item for item in request.session.items if "work_ahead" in item.fixturenames]
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
