"""The demonstration runs as in `scripts/demo`; its own checks are tested."""

import io
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from rich.console import Console

from examples import demo
from examples.website_deployment import Deployment, start_time

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]


def temporary_roots():
    return set(Path(os.environ.get("TMPDIR", "/tmp")).glob("stackl-flow-demo-*"))  # noqa: S108 - as tempfile does


def test_in_a_pipe_it_prints_plain_text_and_leaves_only_pictures(tmp_path):
    before = temporary_roots()
    argv = [sys.executable, "-m", "examples.demo", "--pictures", str(tmp_path / "out")]
    found = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=250, check=False)
    assert (found.returncode, found.stderr) == (0, ""), found.stdout
    assert "\x1b" not in found.stdout
    assert "WRONG" not in found.stdout
    assert "kill -9" in found.stdout
    names = {"deployed": "SUCCESS", "killed": "RUNNING", "resumed": "SUCCESS", "rolled-back": "REVERTED"}
    assert {path.stem for path in (tmp_path / "out").iterdir()} == set(names)
    for name, state in names.items():
        picture = (tmp_path / "out" / f"{name}.svg").read_text()
        assert ET.fromstring(picture).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - we wrote it
        assert "start_server" in picture
        assert state in picture
    assert temporary_roots() <= before


def test_a_false_claim_makes_it_fail(tmp_path):
    console = Console(file=io.StringIO())
    assert demo.run(tmp_path, console, [lambda demo: demo.check("the moon is cheese", False)]) == 1
    assert "the moon is cheese" in console.file.getvalue()


def test_an_interrupted_run_stops_its_servers_and_removes_its_folder(tmp_path):
    left = []

    def interrupted(demo):
        demo.load("examples.website.website", site="hello").run()
        left.extend([demo.root, Deployment(str(demo.root), "hello").server()])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo.run(tmp_path, Console(file=io.StringIO()), [interrupted])
    root, pid = left
    assert pid is not None
    assert start_time(pid) is None
    assert not root.exists()
