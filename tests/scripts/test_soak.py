"""The soak says what it did, and ends with the status that its help promises."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def soak(*arguments):
    command = [sys.executable, "-m", "tests.support.chaos.soak", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_help_teaches():
    done = soak("--help")
    assert done.returncode == 0
    for word in ("--minutes", "examples:", "exit status", "seed"):
        assert word in done.stdout


@pytest.mark.parametrize("arguments", [(), ("--minutes", "0"), ("--minutes", "1", "--boards", "paper")])
def test_wrong_options(arguments):
    assert soak(*arguments).returncode == 2


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_one_short_round():
    done = soak("--minutes", "0.01", "--boards", "sqlite", "--seed", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "seed 1" in done.stdout
    assert done.stdout.rstrip().endswith("everything held")
