"""Each small example runs in a process of its own and prints what is in `expected`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
# The site and the demonstration have tests of their own: ports and times differ from run to run.
LARGE = {"__init__", "demo", "demo_jobs", "demo_support", "website", "website_deployment", "website_server"}
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem not in LARGE)


@pytest.mark.parametrize("name", NAMES)
def test_prints_what_is_expected(name, tmp_path):
    # The hash seed differs from run to run, and the output must not.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
    found = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py")],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout == (EXAMPLES / "expected" / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", NAMES)
def test_is_short(name):
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) <= 60


def test_every_expected_output_has_its_example():
    assert sorted(path.stem for path in (EXAMPLES / "expected").iterdir()) == NAMES


def test_every_example_is_listed():
    text = (EXAMPLES / "README.md").read_text()
    missing = {
        path.name for path in EXAMPLES.glob("*.py") if path.stem != "__init__" if path.name not in text
    }
    assert missing == set()
