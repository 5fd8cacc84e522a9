"""The demonstration is run as `scripts/demo` runs it, and its own checks are checked."""

import io
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from rich.console import Console

from examples import demo
from examples.website_place import Place, started

REPOSITORY = Path(__file__).parents[2]


def workshops():
    return set(Path(os.environ.get("TMPDIR", "/tmp")).glob("stackl-flow-demo-*"))  # noqa: S108 - as tempfile does


def test_in_a_pipe_it_shows_everything_plainly_and_leaves_nothing_but_pictures(tmp_path):
    before = workshops()
    argv = [sys.executable, "-m", "examples.demo", "--pictures", str(tmp_path / "out")]
    found = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=100, check=False)
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
    assert workshops() <= before


def test_a_claim_that_does_not_hold_makes_it_fail(tmp_path):
    console = Console(file=io.StringIO())
    assert demo.run(tmp_path, console, [lambda stage: stage.check("the moon is cheese", False)]) == 1
    assert "the moon is cheese" in console.file.getvalue()


def test_when_it_breaks_half_way_its_servers_end_and_its_folder_goes(tmp_path):
    left = []

    def breaks(stage):
        stage.load("examples.website.website", site="hello").run()
        left.extend([stage.root, Place(str(stage.root), "hello").server()])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        demo.run(tmp_path, Console(file=io.StringIO()), [breaks])
    root, pid = left
    assert pid is not None
    assert started(pid) is None
    assert not root.exists()
