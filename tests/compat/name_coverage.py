"""Compares the public names in TaskFlow's sources with those of compat: modules, names, methods, parameters.

    python -m tests.compat.name_coverage      # prints missing names, one per line

TaskFlow's sources are parsed, not imported.
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

#: Packages and modules without public names.
NOT_PUBLIC = {"tests", "test", "examples", "contrib", "alembic"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources() -> Iterator[tuple[str, Path]]:
    """Iterate over TaskFlow's modules: dotted name and file."""
    root = wheel.package()
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if NOT_PUBLIC.isdisjoint(parts):
            yield ".".join(("taskflow", *(part for part in parts if part != "__init__"))), path


def public(nodes: list[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    """Iterate over the public names that a body defines."""
    for node in nodes:
        if isinstance(node, (*Function.__args__, ast.ClassDef)):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        else:
            names = []
        yield from ((name, node) for name in names if not name.startswith("_"))


def parameters(node: Function) -> list[str]:
    """List the positional parameters."""
    return [arg.arg for arg in (*node.args.posonlyargs, *node.args.args)]


def is_plain(node: Function) -> bool:
    """Return whether a function has no decorators."""
    return not node.decorator_list


def parameter_difference(served: Any, expected: list[str]) -> str:
    """Return how the parameters of a function differ from TaskFlow's, or an empty text."""
    try:
        known = inspect.signature(served).parameters
    except (TypeError, ValueError):  # no signature, such as a function written in C
        return ""
    names = [name for name, parameter in known.items() if parameter.kind != parameter.VAR_POSITIONAL]
    kinds = {parameter.kind for parameter in known.values()}
    accepts_all = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD} <= kinds
    if accepts_all or names[: len(expected)] == expected:
        return ""
    return f"takes ({', '.join(names)}), not ({', '.join(expected)})"


def class_differences(name_path: str, node: ast.ClassDef, served: Any) -> Iterator[str]:
    """Iterate over the differences of a class."""
    init = next((item for item in node.body if getattr(item, "name", "") == "__init__"), None)
    if isinstance(init, ast.FunctionDef):
        yield (
            parameter_difference(served, parameters(init)[1:])
            and f"{name_path}: {parameter_difference(served, parameters(init)[1:])}"
        )
    for name, item in public(node.body):
        if not hasattr(served, name):
            yield f"{name_path}.{name}: missing"
        elif isinstance(item, Function) and is_plain(item):
            difference = parameter_difference(getattr(served, name), parameters(item))
            yield difference and f"{name_path}.{name}: {difference}"


def module_differences(module: str, names: dict[str, ast.stmt], served: Any) -> Iterator[str]:
    """Iterate over the differences of a module."""
    for name, node in names.items():
        name_path = f"{module}.{name}"
        if not hasattr(served, name):
            yield f"{name_path}: missing"
        elif isinstance(node, ast.ClassDef):
            yield from class_differences(name_path, node, getattr(served, name))
        elif isinstance(node, Function) and is_plain(node):
            difference = parameter_difference(getattr(served, name), parameters(node))
            yield difference and f"{name_path}: {difference}"


def missing() -> Iterator[str]:
    """Iterate over the names that are missing or differ, one line each."""
    for module, path in sources():
        names = dict(public(ast.parse(path.read_text()).body))
        try:
            served = importlib.import_module(module)
        except ImportError:
            if names:
                yield f"{module}: missing"
        else:
            yield from filter(None, module_differences(module, names, served))


def main() -> None:
    from stackl_flow import compat

    compat.install()
    for line in missing():
        print(line)


if __name__ == "__main__":
    main()
