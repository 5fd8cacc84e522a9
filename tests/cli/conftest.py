"""Two ways to run a command: in this process, and in a process of its own."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stackl_flow.cli.app import app
from tests.cli.terminal import Terminal

ROOT = Path(__file__).parents[2]
SHOP = "tests.cli.shop"


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def data(self):
        return json.loads(self.out)


def environment(**more):
    variables = {key: value for key, value in os.environ.items() if not key.startswith("STACKL_FLOW")}
    return {**variables, "COLUMNS": "200", "NO_COLOR": "1", "PYTHONPATH": str(ROOT), **more}


@pytest.fixture
def db(tmp_path):
    return str(tmp_path / "flows.db")


@pytest.fixture
def invoke(db, monkeypatch):
    """Run a command in this process, with --db in the environment."""
    monkeypatch.chdir(ROOT)

    def invoke(*arguments, **env):
        variables = {"STACKL_FLOW_DB": db, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb", **env}
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], env=variables)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(result.exit_code, result.stdout, result.stderr)

    return invoke


@pytest.fixture
def start(db):
    """Start a command in its own process."""
    started = []

    def start(*arguments, cwd=ROOT, **env):
        process = subprocess.Popen(
            [sys.executable, "-m", "stackl_flow.cli", *map(str, arguments)],
            cwd=cwd,
            env=environment(STACKL_FLOW_DB=db, **env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def finish():
    """Wait until a process has ended."""

    def finish(process):
        out, err = process.communicate(timeout=180)
        return Result(process.returncode, out, err)

    return finish


@pytest.fixture
def wait_for():
    """Wait until a file exists."""

    def wait_for(path):
        end = time.monotonic() + 30
        while not path.exists():
            assert time.monotonic() < end, f"{path} does not exist"
            time.sleep(0.01)

    return wait_for


@pytest.fixture
def terminal(db):
    """Start a command in its own terminal, with colors."""
    started = []

    def terminal(*arguments, columns=100, lines=30, **env):
        variables = {key: value for key, value in environment().items() if key != "NO_COLOR"}
        started.append(Terminal(arguments, ROOT, {**variables, "STACKL_FLOW_DB": db, **env}, columns, lines))
        return started[-1]

    yield terminal
    for one in started:
        one.close()
