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


def parameters(node: Function, is_method: bool) -> list[str]:
    """List a function's parameters in their order, those of keyword alone last."""
    static = any(isinstance(mark, ast.Name) and mark.id == "staticmethod" for mark in node.decorator_list)
    found = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args)]
    return found[1:] if is_method and not static else found


def is_property(node: Function) -> bool:
    """Say whether a method is read like an attribute, or made of something else by a decorator."""
    return any("static" not in ast.unparse(mark) for mark in node.decorator_list)


def refused(served: Any, wanted: list[str]) -> str:
    """Say which of TaskFlow's parameters a function of ours does not take in the same place."""
    try:
        signature = inspect.signature(served)
    except (TypeError, ValueError):
        return ""
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    ours = [name for name, p in signature.parameters.items() if p.kind != p.VAR_POSITIONAL]
    if inspect.Parameter.VAR_KEYWORD in kinds and inspect.Parameter.VAR_POSITIONAL in kinds:
        return ""
    return "" if ours[: len(wanted)] == wanted else f"takes ({', '.join(ours)}), not ({', '.join(wanted)})"


def of_class(place: str, node: ast.ClassDef, served: Any) -> Iterator[str]:
    """Go over what is missing of a class."""
    for name, item in public(node.body):
        if not hasattr(served, name):
            yield f"{place}.{name}: missing"
        elif isinstance(item, Function) and not is_property(item):
            trouble = refused(getattr(served, name), parameters(item, is_method=True)[:])
            # Looked up on the class, a method of ours takes itself first.
            yield from _told(f"{place}.{name}", getattr(served, name), item, trouble)


def _told(place: str, served: Any, node: Function, trouble: str) -> Iterator[str]:
    if not trouble:
        return
    again = refused(served, ["self", *parameters(node, is_method=True)])
    if again:
        yield f"{place}: {again}"


def missing() -> Iterator[str]:
    """Go over what TaskFlow has and we do not serve, one line each."""
    for module, path in sources():
        names = dict(public(ast.parse(path.read_text()).body))
        try:
            served = importlib.import_module(module)
        except ImportError:
            if names:
                yield f"{module}: not served"
            continue
        for name, node in names.items():
            place = f"{module}.{name}"
            if not hasattr(served, name):
                yield f"{place}: missing"
            elif isinstance(node, ast.ClassDef):
                yield from of_class(place, node, getattr(served, name))
                init = next((item for item in node.body if getattr(item, "name", "") == "__init__"), None)
                if isinstance(init, ast.FunctionDef):
                    trouble = refused(getattr(served, name), parameters(init, is_method=True))
                    if trouble:
                        yield f"{place}: {trouble}"
            elif isinstance(node, Function):
                trouble = refused(getattr(served, name), parameters(node, is_method=False))
                if trouble:
                    yield f"{place}: {trouble}"


def main() -> None:
    from stackl_flow import compat

    compat.install()
    for line in missing():
        print(line)


if __name__ == "__main__":
    main()
