"""Factories of stored flows are imported only if they are on the allow-list."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stackl_flow import FunctorTask, LinearFlow, engines
from stackl_flow import exceptions as exc
from stackl_flow.compat import engines as compat_engines
from stackl_flow.conductors.conductor import Conductor
from stackl_flow.control import runs
from stackl_flow.engines.factories import AllowList, save_factory_details
from stackl_flow.jobboards import backends as boards
from stackl_flow.persistence import backends
from stackl_flow.persistence.models import FlowDetail, new_uuid
from stackl_flow.submission import post_flow

MODULE = "tests.engines.test_allowed_factories"


def flow(name="one"):
    return LinearFlow(name).add(FunctorTask(lambda: 1, name="a", provides="a"))


def _stored(name):
    detail = FlowDetail("one", new_uuid())
    detail.meta["factory"] = {"name": name, "args": [], "kwargs": {}}
    return detail


LOADERS = {
    "flow_from_detail": lambda detail, allowed: engines.flow_from_detail(detail, factories=allowed),
    "load_from_detail": lambda detail, allowed: engines.load_from_detail(detail, factories=allowed),
    "control": runs.rebuild_flow,
}


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
@pytest.mark.parametrize("name", [f"{MODULE}:flow", f"{MODULE}.flow"])
def test_a_factory_on_the_list_is_used(load, name):
    for allowed in (None, ["tests.*"], [f"{MODULE}:flow"], [f"{MODULE}.flow"], ["x", "*.flow"]):
        assert load(_stored(name), allowed) is not None


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        (f"{MODULE}:flow", ["shop.*", "test.*"]),
        (f"{MODULE}:flow", []),
        (f"{MODULE}:flow", ["tests"]),
        ("never_imported_module:flow", ["tests.*"]),
        # What the modules of the list import from elsewhere is not on it.
        (f"{MODULE}:os.system", ["tests.*"]),
        (f"{MODULE}.os.system", ["tests.*"]),
        (f"{MODULE}:subprocess.run", ["tests.*"]),
        (f"{MODULE}:sys.exit", ["tests.*"]),
    ],
)
def test_another_factory_is_not_imported(load, name, allowed):
    with pytest.raises(exc.FactoryNotAllowed, match=r"may not be used here.*factories= allows") as caught:
        load(_stored(name), allowed)
    assert isinstance(caught.value, exc.FactoryNotFound)
    for pattern in allowed:
        assert pattern in str(caught.value)


def test_flows_of_programs_written_for_taskflow(monkeypatch):
    load = compat_engines.load_from_detail
    assert load(_stored(f"{MODULE}.flow"), factories=["tests.*"]) is not None
    with pytest.raises(exc.FactoryNotAllowed, match=r"shop\.\*"):
        load(_stored(f"{MODULE}.flow"), factories=["shop.*"])
    monkeypatch.setenv("STACKL_FLOW_FACTORIES", "shop.*")
    with pytest.raises(exc.FactoryNotAllowed, match="STACKL_FLOW_FACTORIES"):
        load(_stored(f"{MODULE}.flow"))


def test_what_is_imported_from_elsewhere_has_to_be_named():
    allowed = AllowList(["tests.*", f"{MODULE}:os.getcwd"])
    assert allowed.import_factory(f"{MODULE}:os.getcwd") is os.getcwd
    with pytest.raises(exc.FactoryNotAllowed, match="posix"):
        allowed.import_factory(f"{MODULE}:os.getpid")


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
def test_the_environment_has_a_list(load, monkeypatch):
    monkeypatch.setenv("STACKL_FLOW_FACTORIES", "shop.*, other.*")
    with pytest.raises(exc.FactoryNotAllowed, match=r"STACKL_FLOW_FACTORIES allows shop\.\*, other\.\*"):
        load(_stored(f"{MODULE}:flow"), None)
    assert load(_stored(f"{MODULE}:flow"), ["tests.*"]) is not None
    monkeypatch.setenv("STACKL_FLOW_FACTORIES", "shop.* tests.*")
    assert load(_stored(f"{MODULE}:flow"), None) is not None


def test_a_text_is_no_list():
    with pytest.raises(TypeError, match=r"\['shop\.\*'\]"):
        AllowList("shop.*")
    with boards.backend("b", "memory") as board, pytest.raises(TypeError, match="takes a list"):
        Conductor("c", board, factories="shop.*")


def test_a_program_stores_whatever_factory_it_names(monkeypatch):
    monkeypatch.setenv("STACKL_FLOW_FACTORIES", "shop.*")
    detail = FlowDetail("one", new_uuid())
    save_factory_details(detail, flow)
    assert engines.load_from_factory(flow).storage is not None


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_a_conductor_runs_no_other_factory(how, monkeypatch, tmp_path):
    url = f"sqlite:///{tmp_path}/flows.db"
    options = {"factories": ["shop.*"]} if how == "argument" else {}
    if how == "environment":
        monkeypatch.setenv("STACKL_FLOW_FACTORIES", "shop.*")
    with backends.backend(url) as backend, boards.backend("b", "memory", persistence=backend) as board:
        job = post_flow(board, backend, f"{MODULE}:flow")
        Conductor("c", board, backend, **options).run(max_dispatches=1)
        with backend.get_connection() as conn:
            (detail,) = conn.get_logbooks()[0]
        assert detail.state != "SUCCESS"
        assert board.get_snapshot(job).state != "succeeded"


@pytest.mark.parametrize("command", ["resume", "graph"])
def test_commands_have_a_list(command, tmp_path):
    url = f"sqlite:///{tmp_path}/flows.db"
    with backends.backend(url) as backend:
        detail = engines.load_from_factory(f"{MODULE}:flow", backend=backend).storage.flow_uuid
    arguments = [command, detail, "--db", url]

    def run(*more, **environment):
        done = subprocess.run(
            [str(Path(sys.executable).with_name("stackl-flow")), *arguments, *more],
            capture_output=True, text=True, check=False, env={**os.environ, **environment},
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    for code, text in (run("--factories", "shop.*"), run(STACKL_FLOW_FACTORIES="shop.*")):
        assert "may not be used here" in text
        assert command == "graph" or code != 0
    code, text = run("--factories", "shop.*", "--factories", "tests.*")
    assert code == 0
    assert "may not" not in text
