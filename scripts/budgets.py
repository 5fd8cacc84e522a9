"""Measure the library against its size budgets, print each figure, and fail when one is over.

A budget that nobody measures is a wish. The source is read as a tree, nothing is imported, so the
optional backends need not be installed.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = "stackl_flow"
MEDIAN_MODULE, MAX_MODULE = 130, 350
P90_FUNCTION, MAX_FUNCTION = 25, 50
MAX_METHODS = 15
MAX_DEPTH, MAX_ERROR_DEPTH = 2, 3
MAX_ROOT_NAMES = 40

# Classes that may have more than MAX_METHODS public methods, and why.
MANY_METHODS = {
    "stackl_flow.compat.persistence.base.Connection": "TaskFlow's own base class of connections",
    "stackl_flow.compat.persistence.path_based.PathBasedConnection": "the same",
    "stackl_flow.compat.storage.Storage": "TaskFlow's facade over a flow's states, with what writes by hand",
    "stackl_flow.engines.storage.Storage": "TaskFlow's facade over a flow's states: kept name by name",
    "stackl_flow.jobboards.base.JobBoard": "TaskFlow's facade over a board: kept name by name",
    "stackl_flow.jobboards.board.KVBoard": "the same",
    "stackl_flow.persistence.base.Connection": "TaskFlow's facade over a backend: kept name by name",
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Module:
    """One source file, with the names it imports and the classes it defines."""

    name: str
    lines: int
    tree: ast.Module
    aliases: dict[str, str] = field(default_factory=dict)
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)


@dataclass(frozen=True)
class Figure:
    """One measured figure beside its budget, with the places that are over."""

    what: str
    value: float
    limit: float
    over: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the figure is within its budget."""
        return self.value <= self.limit and not self.over


def read(root: Path) -> dict[str, Module]:
    """Read every module of the package.

    Args:
        root: the folder that holds the package.

    Returns:
        The modules by dotted name.
    """
    modules = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text(encoding="utf-8")
        module = Module(name, len(text.splitlines()), ast.parse(text))
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                for alias in node.names:
                    module.aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.asname:
                        module.aliases[alias.asname] = alias.name
            elif isinstance(node, ast.ClassDef):
                module.classes[node.name] = node
        modules[name] = module
    return modules


def functions(modules: dict[str, Module]) -> Iterator[tuple[str, Function]]:
    """Go over all functions and methods, nested ones too, each with its place."""
    for module in modules.values():
        for node in ast.walk(module.tree):
            if isinstance(node, Function):
                yield f"{module.name}:{node.lineno} {node.name}", node


def length(function: Function) -> int:
    """Count the lines of a function from `def` to its end, docstring included."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def dotted(node: ast.expr) -> str:
    """Write a base class as a dotted name; the parameters of a generic one are dropped."""
    if isinstance(node, ast.Subscript):
        return dotted(node.value)
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def locate(modules: dict[str, Module], module: Module, name: str) -> tuple[Module, ast.ClassDef] | None:
    """Find the class of ours that a name in a module stands for, or None for a foreign one."""
    if name in module.classes:
        return module, module.classes[name]
    first, _, rest = name.partition(".")
    full = module.aliases.get(first)
    if full is None or not full.startswith(PACKAGE):
        return None
    target, _, last = f"{full}.{rest}".rstrip(".").rpartition(".")
    return locate(modules, modules[target], last) if target in modules else None


def depth(modules: dict[str, Module], module: Module, node: ast.ClassDef) -> int:
    """Count the steps from a class up to the furthest ancestor that is ours."""
    steps = 0
    for base in node.bases:
        found = locate(modules, module, dotted(base))
        if found is not None and found[1] is not node:
            steps = max(steps, 1 + depth(modules, *found))
    return steps


def public_methods(node: ast.ClassDef) -> set[str]:
    """Name the public methods and properties that a class body defines."""
    return {item.name for item in node.body if isinstance(item, Function) and not item.name.startswith("_")}


def worst(what: str, values: dict[str, int], limit: int) -> Figure:
    """Make a figure of the largest value, naming all that are over the limit."""
    over = tuple(f"{place}: {value}" for place, value in values.items() if value > limit)
    return Figure(what, max(values.values(), default=0), limit, over)


def size_figures(modules: dict[str, Module]) -> Iterator[Figure]:
    """Measure modules and functions."""
    lines = {module.name: module.lines for module in modules.values() if module.lines}
    yield Figure("module, median lines", statistics.median(lines.values()), MEDIAN_MODULE)
    yield worst("module, most lines", lines, MAX_MODULE)
    sizes = {place: length(node) for place, node in functions(modules)}
    p90 = sorted(sizes.values())[int(0.9 * (len(sizes) - 1))]
    yield Figure("function, 90th percentile lines", p90, P90_FUNCTION)
    yield worst("function, most lines", sizes, MAX_FUNCTION)
    bare = tuple(place for place, node in functions(modules) if node.returns is None)
    yield Figure("functions without a return type", len(bare), 0, bare)


def class_figures(modules: dict[str, Module]) -> Iterator[Figure]:
    """Measure classes: how much they offer and how deep they stand."""
    methods: dict[str, int] = {}
    depths: dict[str, int] = {}
    errors: dict[str, int] = {}
    for module in modules.values():
        for name, node in module.classes.items():
            place = f"{module.name}.{name}"
            if place not in MANY_METHODS:
                methods[place] = len(public_methods(node))
            kind = errors if module.name == f"{PACKAGE}.exceptions" else depths
            kind[place] = depth(modules, module, node)
    stale = tuple(place for place in MANY_METHODS if place not in depths)
    yield Figure("classes of the written list that are not there", len(stale), 0, stale)
    yield worst("class, most public methods (written list aside)", methods, MAX_METHODS)
    yield worst("inheritance among our classes", depths, MAX_DEPTH)
    yield worst("inheritance among our exceptions", errors, MAX_ERROR_DEPTH)


def root_figure(modules: dict[str, Module]) -> Figure:
    """Count the names that the root package offers in `__all__`."""
    names: list[str] = []
    for node in modules[PACKAGE].tree.body:
        if isinstance(node, ast.Assign) and dotted(node.targets[0]) == "__all__":
            names = ast.literal_eval(node.value)
    return Figure("names in the root package", len(names), MAX_ROOT_NAMES)


def main() -> int:
    """Print the figures and say whether all are within their budgets.

    Returns:
        0 when they are, 1 when one is over.
    """
    modules = read(Path(__file__).resolve().parent.parent)
    figures = [*size_figures(modules), *class_figures(modules), root_figure(modules)]
    for figure in figures:
        mark = "ok  " if figure.ok else "OVER"
        print(f"{mark} {figure.what:<48} {figure.value:>5g} of {figure.limit:g}")
        for place in figure.over:
            print(f"       {place}")
    for place, reason in MANY_METHODS.items():
        print(f"     may have more methods: {place} ({reason})")
    return 0 if all(figure.ok for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
