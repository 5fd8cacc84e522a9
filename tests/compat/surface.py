"""Compares the names that TaskFlow's sources define with what is served: modules, names, methods, parameters.

    python -m tests.compat.surface      # prints what is missing, one line each

TaskFlow's sources are read, never imported.
"""
# ruff: noqa: T201  this is a command: it prints

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.compat import wheel

#: Folders and modules of the wheel that are no part of its surface.
NO_SURFACE = {"tests", "test", "examples", "contrib", "alembic"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources() -> Iterator[tuple[str, Path]]:
    """Go over TaskFlow's modules: dotted name and file."""
    root = wheel.package()
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if NO_SURFACE.isdisjoint(parts):
            yield ".".join(("taskflow", *(part for part in parts if part != "__init__"))), path


def public(nodes: list[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """Go over what a body defines under a name without an underscore."""
    for node in nodes:
        if isinstance(node, (*Function.__args__, ast.ClassDef)):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        else:
            names = []
        yield from ((name, node) for name in names if not name.startswith("_"))


def parameters(node: Function) -> list[str]:
    """List the parameters that a caller may give by place, in their order."""
    return [arg.arg for arg in (*node.args.posonlyargs, *node.args.args)]


def is_plain(node: Function) -> bool:
    """Say whether no decorator makes something else of a function."""
    return not node.decorator_list


def refused(served: Any, wanted: list[str]) -> str:
    """Say which of TaskFlow's parameters a function of ours does not take in the same place, or nothing."""
    try:
        known = inspect.signature(served).parameters
    except (TypeError, ValueError):  # it cannot be asked, as one written in C
        return ""
    ours = [name for name, parameter in known.items() if parameter.kind != parameter.VAR_POSITIONAL]
    kinds = {parameter.kind for parameter in known.values()}
    takes_all = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD} <= kinds
    if takes_all or ours[: len(wanted)] == wanted:
        return ""
    return f"takes ({', '.join(ours)}), not ({', '.join(wanted)})"


def of_class(place: str, node: ast.ClassDef, served: Any) -> Iterator[str]:
    """Go over what is missing of a class."""
    init = next((item for item in node.body if getattr(item, "name", "") == "__init__"), None)
    if isinstance(init, ast.FunctionDef):
        yield refused(served, parameters(init)[1:]) and f"{place}: {refused(served, parameters(init)[1:])}"
    for name, item in public(node.body):
        if not hasattr(served, name):
            yield f"{place}.{name}: missing"
        elif isinstance(item, Function) and is_plain(item):
            trouble = refused(getattr(served, name), parameters(item))
            yield trouble and f"{place}.{name}: {trouble}"


def of_module(module: str, names: dict[str, ast.stmt], served: Any) -> Iterator[str]:
    """Go over what is missing of a module."""
    for name, node in names.items():
        place = f"{module}.{name}"
        if not hasattr(served, name):
            yield f"{place}: missing"
        elif isinstance(node, ast.ClassDef):
            yield from of_class(place, node, getattr(served, name))
        elif isinstance(node, Function) and is_plain(node):
            trouble = refused(getattr(served, name), parameters(node))
            yield trouble and f"{place}: {trouble}"


def missing() -> Iterator[str]:
    """Go over what TaskFlow has and we do not serve, one line each."""
    for module, path in sources():
        names = dict(public(ast.parse(path.read_text()).body))
        try:
            served = importlib.import_module(module)
        except ImportError:
            if names:
                yield f"{module}: not served"
        else:
            yield from filter(None, of_module(module, names, served))


def main() -> None:
    from stackl_flow import compat

    compat.install()
    for line in missing():
        print(line)


if __name__ == "__main__":
    main()
