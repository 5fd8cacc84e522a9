"""Print size figures of the library, for information: nothing fails on them.

The source is read as text and as a syntax tree; nothing is imported, so optional drivers need not be
installed. ``--walks`` adds how many files a few typical operations pass through (``scripts/walks.py``).

Usage: budgets.py [--walks] [ROOT]
"""

from __future__ import annotations

import ast
import io
import runpy
import statistics
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = "stackl_flow"
#: How many of the largest modules and classes are listed.
LISTED = 10

Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Module:
    """One source file.

    ``imports`` are the modules of the package that it imports anywhere; ``imports_at_once`` those that are
    imported when it is imported itself.
    """

    name: str
    lines: int
    code: int
    docstrings: int
    comments: int
    tree: ast.Module
    imports: set[str] = field(default_factory=set)
    imports_at_once: set[str] = field(default_factory=set)


def read(root: Path) -> dict[str, Module]:
    """Read all modules of the package under a directory, by dotted name."""
    modules = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        modules[name] = parse(name, path.read_text(encoding="utf-8"))
    for module in modules.values():
        module.imports = set(_imported(ast.walk(module.tree), modules)) - {module.name}
        module.imports_at_once = set(_imported(_executed(module.tree), modules)) - {module.name}
    return modules


def parse(name: str, text: str) -> Module:
    """Parse a module and sort its lines; a line with code and a comment counts as code."""
    tree = ast.parse(text)
    docstrings: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, Documented) and ast.get_docstring(node, clean=False) is not None:
            first = node.body[0]
            docstrings.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    comments: set[int] = set()
    code: set[int] = set()
    ignored = {tokenize.NEWLINE, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comments.add(token.start[0])
        elif token.type not in ignored:
            code.update(range(token.start[0], token.end[0] + 1))
    code -= docstrings
    lines = len(text.splitlines())
    return Module(name, lines, len(code), len(docstrings), len(comments - code - docstrings), tree)


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk what runs at import: no bodies of functions, nothing that only type checkers see."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Function) or (
            isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        ):
            continue
        yield node
        yield from _executed(node)


def _imported(nodes: Iterator[ast.AST], modules: dict[str, Module]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module in modules:
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in modules else node.module


def cycles(modules: dict[str, Module], *, at_once: bool) -> list[list[str]]:
    """Find groups of modules that import each other (Tarjan's algorithm).

    Args:
        modules: the modules by name.
        at_once: whether only imports count that run when a module is imported, not those in functions.
    """
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        module = modules[name]
        for other in sorted(module.imports_at_once if at_once else module.imports):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            at = stack.index(name)
            group = stack[at:]
            del stack[at:]
            if len(group) > 1:
                found.append(sorted(group))

    for name in sorted(modules):
        if name not in index:
            visit(name)
    return sorted(found)


def with_one_importer(modules: dict[str, Module]) -> list[str]:
    """Name the modules that exactly one other module of the package imports."""
    importers = dict.fromkeys(modules, 0)
    for module in modules.values():
        for name in module.imports:
            importers[name] += 1
    return [name for name, count in importers.items() if count == 1]


def public_methods(node: ast.ClassDef) -> int:
    """Count the public methods and properties that the body of a class defines."""
    return len({item.name for item in node.body if isinstance(item, Function) and item.name[0] != "_"})


def figures(modules: dict[str, Module]) -> Iterator[str]:
    """Write one line a figure."""
    every = list(modules.values())
    code = sum(module.code for module in every)
    functions = [node for module in every for node in ast.walk(module.tree) if isinstance(node, Function)]
    lengths = sorted((node.end_lineno or node.lineno) - node.lineno + 1 for node in functions)
    yield _line("files", len(every))
    yield _line("lines", sum(module.lines for module in every))
    yield _line("  code", code)
    for what, count in (
        ("docstring", sum(module.docstrings for module in every)),
        ("comment", sum(module.comments for module in every)),
    ):
        yield _line(f"  {what}", count, f"{count / code:.0%} of the code lines")
    yield _line("lines of a module, median", statistics.median(m.lines for m in every if m.lines))
    yield _line("lines of a function, 90th percentile", lengths[int(0.9 * (len(lengths) - 1))])
    yield _line("lines of a function, most", lengths[-1])
    yield _line("modules with one importer", len(with_one_importer(modules)))
    for what, at_once in (("import cycles", True), ("import cycles, with imports in functions", False)):
        found = cycles(modules, at_once=at_once)
        yield _line(what, len(found))
        yield from (f"    {', '.join(group)}" for group in found)
    yield "largest modules (lines)"
    for module in sorted(every, key=lambda module: -module.lines)[:LISTED]:
        yield f"    {module.lines:>5} {module.name}"
    yield "classes with the most public methods"
    classes = [(m.name, node) for m in every for node in ast.walk(m.tree) if isinstance(node, ast.ClassDef)]
    for name, node in sorted(classes, key=lambda each: -public_methods(each[1]))[:LISTED]:
        yield f"    {public_methods(node):>5} {name}.{node.name}"


def _line(what: str, value: float, note: str = "") -> str:
    return f"{what:<40} {value:>7g}  {note}".rstrip()


def main() -> None:
    """Print the figures."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--walks"]
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    for line in figures(read(root)):
        print(line)
    if "--walks" in sys.argv:
        runpy.run_path(str(Path(__file__).with_name("walks.py")), run_name="__main__")


if __name__ == "__main__":
    main()
