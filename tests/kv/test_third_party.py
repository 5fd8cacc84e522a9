"""A store of another distribution, registered once, serves key-value clients, boards and flows.

The distribution is the one of the page that tells how to write a store; it is installed by pip.
"""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from stackl_flow.jobboards import backends as boards
from stackl_flow.kv import backends
from stackl_flow.persistence import backends as persistence
from stackl_flow.testing.contracts.jobboards import JobBoardContract
from stackl_flow.testing.contracts.kv import KVContract, ProcessContract
from stackl_flow.testing.contracts.persistence import PersistenceContract
from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs" / "how-to" / "write-a-store.md"


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder in which the distribution is installed."""
    files = {block.source.partition("\n")[0]: block.source for block in blocks(PAGE)}
    project = tomllib.loads(files["# pyproject.toml"])["project"]
    info = f"{project['name']}-{project['version']}.dist-info"
    registered = project["entry-points"]["stackl_flow.kv"].items()
    wheel = tmp_path_factory.mktemp("dist") / f"{project['name']}-{project['version']}-py3-none-any.whl"
    contents = {
        "onefile.py": files["# onefile.py"],
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[stackl_flow.kv]\n" + "".join(f"{k} = {v}\n" for k, v in registered),
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in contents.items():
            archive.writestr(name, text)
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*command, "--target", str(target), str(wheel)], check=True)
    return target


@pytest.fixture
def installed(site, monkeypatch):
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", f"{site}{os.pathsep}{ROOT}")


@pytest.fixture
def url(installed, tmp_path):
    return f"onefile://{tmp_path}/state.json"


class TestStore(KVContract, ProcessContract):
    @pytest.fixture
    def open_kv(self, url):
        return lambda: backends.fetch(url)


class TestBoard(JobBoardContract):
    @pytest.fixture
    def address(self, url):
        return url


class TestFlows(PersistenceContract):
    @pytest.fixture
    def backend(self, url):
        with persistence.backend(url) as backend:
            yield backend


def test_it_is_listed(url):
    assert "onefile" in backends.schemes()
    assert "onefile" in persistence.schemes()
    for fetch in (backends.fetch, persistence.fetch, lambda url: boards.fetch("jobs", url)):
        with pytest.raises(Exception, match=r"unknown backend 'onefil'.*did you mean 'onefile'.*zookeeper"):
            fetch("onefil://x")


FLOWS = """
from stackl_flow import FunctorTask, LinearFlow


def greet():
    return LinearFlow("greet").add(FunctorTask(lambda who: f"hello {who}", name="hello", provides="text"))
"""


def test_commands_use_it_for_everything(url, tmp_path):
    (tmp_path / "greetings.py").write_text(FLOWS, encoding="utf-8")
    places = ["--board", url, "--db", url]

    def run(*arguments):
        command = [str(Path(sys.executable).with_name("stackl-flow")), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("post", "greetings:greet", "--store", "who=you", *places)
    assert "greet" in run("jobs", "list", "--board", url)
    run("conduct", "--max-dispatches", "1", *places)
    assert "SUCCESS" in run("list", "--db", url)
