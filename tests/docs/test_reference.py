"""The reference documents every public name, and pages name only files that exist."""

import ast
import inspect
import pkgutil
import re

import pytest

import stackl_flow
from tests.docs.pages import PAGES, ROOT

REFERENCE = ROOT / "docs" / "reference"
DIRECTIVE = re.compile(r"^::: (stackl_flow[\w.]*)$", re.MULTILINE)


def documented():
    return {name for page in REFERENCE.glob("*.md") for name in DIRECTIVE.findall(page.read_text("utf-8"))}


def path_of(thing):
    """Return the full name of a class, function or module."""
    if inspect.ismodule(thing):
        return thing.__name__
    return f"{thing.__module__}.{thing.__qualname__}"


@pytest.mark.parametrize("name", sorted(documented()))
def test_a_documented_name_exists(name):
    pkgutil.resolve_name(name)


@pytest.mark.parametrize("name", [name for name in stackl_flow.__all__ if name != "__version__"])
def test_every_name_of_the_package_is_documented(name):
    known = documented()
    path = path_of(getattr(stackl_flow, name))
    parts = path.split(".")
    covering = {".".join(parts[:count]) for count in range(2, len(parts) + 1)}
    assert covering & known or any(one.startswith(f"{path}.") for one in known)


PUBLIC_MODULES = [
    "stackl_flow.conductors",
    "stackl_flow.engines",
    "stackl_flow.jobboards.backends",
    "stackl_flow.persistence.backends",
]


@pytest.mark.parametrize("module", PUBLIC_MODULES)
def test_every_name_of_a_public_package_is_documented(module):
    known = documented()
    names = getattr(pkgutil.resolve_name(module), "__all__", ["fetch", "backend"])
    missing = []
    for name in names:
        thing = pkgutil.resolve_name(f"{module}:{name}")
        if callable(thing) and path_of(thing) not in known:
            missing.append(name)
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_file_of_the_project_that_a_page_names_exists(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    paths = re.findall(r"`((?:tests|scripts|docs|examples|stackl_flow)/[\w./-]+)`", text)
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_a_module_that_architecture_names_exists():
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    paths = re.findall(r"`([a-z_]+(?:/[\w]+)*(?:\.py|/))`", text)
    roots = [ROOT, ROOT / "stackl_flow"]
    assert len(paths) > 20
    assert [path for path in paths if not any((root / path).exists() for root in roots)] == []


def test_every_name_of_a_block_is_imported_from_a_public_path():
    """An import of a private module in the documentation would make it public."""
    private = []
    for page in PAGES:
        text = page.read_text("utf-8")
        for source in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stackl_flow"):
                    private += [name.name for name in node.names if name.name.startswith("_")]
    assert private == []


def test_a_page_that_the_code_names_exists():
    sources = [
        path for folder in ("stackl_flow", "scripts", "tests") for path in (ROOT / folder).rglob("*.py")
    ]
    named = {
        page for path in sources for page in re.findall(r"\bdocs/[\w/-]+\.md\b", path.read_text("utf-8"))
    }
    assert [page for page in sorted(named) if not (ROOT / page).exists()] == []


def test_the_index_of_the_reference_lists_the_names_of_the_package():
    text = (REFERENCE / "index.md").read_text("utf-8")
    listed = set(re.findall(r"`(\w+)`", text.partition("## By module")[0]))
    names = {name for name in stackl_flow.__all__ if not inspect.ismodule(getattr(stackl_flow, name))}
    assert listed == names - {"__version__"}
