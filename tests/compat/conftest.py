"""Fixtures: slow processes started ahead of the tests, and code in a separate process."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from urllib.parse import urlsplit

import pytest

from tests.compat import examples, upstream_suite


@pytest.fixture(scope="session")
def work_ahead(request):
    """Start the test groups and example programs of all selected tests in the background.

    Only for test_wheel and test_examples, which run in one worker (see tests.support.scheduling).
    """

    def port_of(server):
        """Return the port of a server, or None if it is not installed: that is left to the test itself."""
        try:
            return urlsplit(request.getfixturevalue(f"{server}_url")).port
        except (pytest.skip.Exception, pytest.fail.Exception):
            return None

    selected = [item for item in request.session.items if "work_ahead" in item.fixturenames]
    params = [item.callspec.params for item in selected if hasattr(item, "callspec")]
    needed = {upstream_suite.group_of(each["module"]) for each in params if "module" in each}
    groups = [group for group in upstream_suite.GROUPS if group in needed]
    for group in groups:
        port = port_of(group) if group in upstream_suite.SERVERS else 0
        if port is not None:
            upstream_suite.begin(group, port=port)
    for name in [each["name"] for each in params if each.get("name") in examples.programs()]:
        port = port_of("zookeeper") if name in examples.ON_ZOOKEEPER else 0
        if port is not None:
            examples.begin(name, port)


@pytest.fixture
def python(tmp_path):
    """Return a function that runs code in a separate process without the import hook."""

    def run(code, *paths):
        path = os.pathsep.join(map(str, (upstream_suite.ROOT, *paths)))
        process = subprocess.run(
            [sys.executable, "-W", "error::ImportWarning", "-c", textwrap.dedent(code)],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert process.returncode == 0, process.stderr
        return process.stdout.splitlines()

    return run
