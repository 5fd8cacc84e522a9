"""Two ways to give a command: within this process, and in one of its own as a person does."""

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
class Answer:
    code: int
    out: str
    err: str

    @property
    def data(self):
        return json.loads(self.out)


def environment(**more):
    kept = {key: value for key, value in os.environ.items() if not key.startswith("STACKL_FLOW")}
    return {**kept, "COLUMNS": "200", "NO_COLOR": "1", "PYTHONPATH": str(ROOT), **more}


@pytest.fixture
def db(tmp_path):
    return str(tmp_path / "flows.db")


@pytest.fixture
def give(db, monkeypatch):
    """Give a command here; --db is in the environment."""
    monkeypatch.chdir(ROOT)

    def give(*words, **env):
        told = {"STACKL_FLOW_DB": db, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb", **env}
        result = CliRunner().invoke(app, [str(word) for word in words], env=told)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout, result.stderr)

    return give


@pytest.fixture
def start(db):
    """Start a command in a process of its own."""
    begun = []

    def start(*words, cwd=ROOT, **env):
        process = subprocess.Popen(
            [sys.executable, "-m", "stackl_flow.cli", *map(str, words)],
            cwd=cwd,
            env=environment(STACKL_FLOW_DB=db, **env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        return process

    yield start
    for process in begun:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def finish():
    """Wait for the end of a process."""

    def finish(process):
        out, err = process.communicate(timeout=60)
        return Answer(process.returncode, out, err)

    return finish


@pytest.fixture
def wait_for():
    """Wait until a file is there."""

    def wait_for(path):
        end = time.monotonic() + 30
        while not path.exists():
            assert time.monotonic() < end, f"{path} never came"
            time.sleep(0.01)

    return wait_for


@pytest.fixture
def terminal(db):
    """Start a command on a terminal of its own, which would show colours."""
    begun = []

    def terminal(*words, columns=100, lines=30, **env):
        coloured = {key: value for key, value in environment().items() if key != "NO_COLOR"}
        begun.append(Terminal(words, ROOT, {**coloured, "STACKL_FLOW_DB": db, **env}, columns, lines))
        return begun[-1]

    yield terminal
    for one in begun:
        one.close()
