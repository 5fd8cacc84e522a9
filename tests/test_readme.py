"""Every block of the README runs, in order, as a reader would type them one after another."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def blocks(language):
    text = README.read_text(encoding="utf-8")
    for match in re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        # Led by empty lines, so that a traceback names the line of the README.
        yield match[1], "\n" * (text[: match.start()].count("\n") + 1)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """An empty folder to work in, from which modules can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    monkeypatch.delitem(sys.modules, "site_flows", raising=False)
    for source, _ in blocks("python"):
        named = re.match(r"# (\w+\.py)\n", source)
        if named:
            Path(named[1]).write_text(source, encoding="utf-8")
    return tmp_path


def test_the_python_blocks_run_in_order(desk):
    names = {"__name__": "__readme__"}
    sources = [lead + source for source, lead in blocks("python") if not re.match(r"# \w+\.py\n", source)]
    assert len(sources) > 5
    for source in sources:
        exec(compile(source, str(README), "exec"), names)  # noqa: S102  running it is the test


def test_the_commands_run_in_order(desk):
    commands = [
        line[2:] for source, _ in blocks("console") for line in source.splitlines() if line[:2] == "$ "
    ]
    assert commands
    for command in commands:
        _, _, arguments = command.partition("stackl-flow ")
        call = [sys.executable, "-c", "from stackl_flow.cli import main; main()", *arguments.split()]
        done = subprocess.run(call, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize(
    "page",
    [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))],
    ids=lambda page: page.name,
)
def test_the_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []
