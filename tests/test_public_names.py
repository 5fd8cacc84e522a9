"""The public API: every name exists, is documented, and is cheap to import."""

import ast
import inspect
import json
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import stackl_flow
from stackl_flow.jobboards.base import JobBoard

ROOT_NAMES = 40
# Slow or optional packages, which must not be imported before they are needed.
HEAVY = {
    "alembic", "asyncio", "automaton", "celery", "dask", "distributed", "etcd3gw", "futurist", "kazoo",
    "networkx", "prettytable", "psycopg", "pydantic", "pymysql", "ray", "redis", "rich", "sqlalchemy",
    "sqlite3", "typer",
}  # fmt: skip


#: Classes that implement a protocol, which has the docstrings of their members.
PROTOCOLS = {"KVBoard": JobBoard}


def public_modules():
    # Only Alembic can import migrations.
    for module in pkgutil.walk_packages(stackl_flow.__path__, "stackl_flow."):
        if not any(part.startswith("_") or part == "migrations" for part in module.name.split(".")):
            yield module.name


def public_objects(module):
    for name, item in vars(module).items():
        if name.startswith("_") or getattr(item, "__module__", None) != module.__name__:
            continue
        if inspect.isclass(item) or inspect.isfunction(item):
            yield item
        if inspect.isclass(item):
            yield from (
                member
                for key, member in vars(item).items()
                if not key.startswith("_") and (inspect.isfunction(member) or isinstance(member, property))
                if not inspect.getdoc(getattr(PROTOCOLS.get(name), key, None))
            )


def modules_after(statement):
    """Return the modules that a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(process.stdout))


def test_at_most_forty_names_without_duplicates():
    assert len(stackl_flow.__all__) <= ROOT_NAMES
    assert sorted(set(stackl_flow.__all__)) == sorted(stackl_flow.__all__)


@pytest.mark.parametrize("name", stackl_flow.__all__)
def test_every_name_exists_and_is_documented(name):
    item = getattr(stackl_flow, name)
    assert name in dir(stackl_flow)
    if name != "__version__":
        assert inspect.getdoc(item)


def test_the_lazy_names_match_all_and_the_type_checking_imports():
    tree = ast.parse(Path(stackl_flow.__file__).read_text(encoding="utf-8"))
    typed = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    sources = {name: source.rstrip(":").replace(":", ".") for name, source in stackl_flow._SOURCES.items()}
    assert typed == sources
    assert set(stackl_flow.__all__) == {*sources, "__version__"}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = stackl_flow.no_such_name


def test_importing_the_package_imports_no_heavy_module():
    loaded = modules_after("import stackl_flow")
    assert not loaded & HEAVY
    assert {name for name in loaded if name.startswith("stackl_flow")} == {"stackl_flow"}


def test_running_a_flow_in_memory_imports_no_driver():
    drivers = HEAVY - {"asyncio", "networkx", "futurist", "prettytable"}
    assert not modules_after("from stackl_flow import LinearFlow, Task, load, run") & drivers


def test_run_is_still_a_function_after_an_engine_has_run():
    code = """
from stackl_flow import FunctorTask, engines
import stackl_flow
from stackl_flow.jobboards.base import JobBoard
flow = FunctorTask(lambda: 1, name="one")
engines.run(flow), engines.run(flow), stackl_flow.run(flow)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", sorted(public_modules()))
def test_every_public_object_has_a_docstring(name):
    try:
        module = import_module(name)
    except ImportError as error:
        root = (error.name or "stackl_flow").partition(".")[0]
        if root == "stackl_flow":
            raise
        pytest.skip(f"{root} is optional and not installed")
    assert inspect.getdoc(module)
    assert [item for item in public_objects(module) if not inspect.getdoc(item)] == []
