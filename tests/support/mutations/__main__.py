"""``python -m tests.support.mutations``: apply each mutation to a copy of the tree, and run its tests."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.support.mutations.catalogue import MUTATIONS, Mutation

ROOT: Final = Path(__file__).resolve().parents[3]
#: What tests need.
COPIED: Final = ("stackl_flow", "tests", "scripts", "examples", "benchmarks", "setup.cfg", "pyproject.toml")
#: Exit codes of pytest.
PASSED, FAILED = 0, 1


def main() -> int:
    """Run the selected mutations; return 1 if one survives or cannot be applied."""
    options = parse_arguments()
    selected = [each for each in MUTATIONS if not options.names or each.name in options.names]
    if options.list:
        print("\n".join(f"{each.name}  ({each.path})" for each in selected))  # noqa: T201
        return 0
    with tempfile.TemporaryDirectory(prefix="stackl-flow-mutations-") as directory:
        copy = Path(directory)
        for name in COPIED:
            copy_into(ROOT / name, copy / name)
        results = [report(each, copy, baseline=not options.no_baseline) for each in selected]
    print(f"{results.count(True)} of {len(results)} mutations were seen")  # noqa: T201
    return 0 if all(results) else 1


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/mutate",
        description="Show that tests see deliberate defects in crash and fault handling. Each mutation of "
        "tests/support/mutations/catalogue.py is applied to a copy of the working tree, alone, and the tests "
        "that must see it are run there: they must pass without it and fail with it.",
        epilog="Exit status 0: all selected mutations were seen. 1: one survived, its tests fail without it, "
        "or its text is not in the code any more.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="names of mutations (default: all)")
    parser.add_argument("--list", action="store_true", help="list the mutations, run nothing")
    parser.add_argument(
        "--no-baseline", action="store_true", help="do not run the tests without the mutation first"
    )
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - {each.name for each in MUTATIONS}):
        parser.error(f"unknown mutation {', '.join(unknown)}: see --list")
    return options


def copy_into(source: Path, target: Path) -> None:
    """Copy a file or a directory without caches."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    else:
        shutil.copy(source, target)


def report(mutation: Mutation, copy: Path, *, baseline: bool) -> bool:
    """Apply a mutation, run its tests, print the result and return whether it was seen."""
    start = time.monotonic()
    result = examine(mutation, copy, baseline=baseline)
    print(f"{result:9} {time.monotonic() - start:5.1f} s  {mutation.name}", flush=True)  # noqa: T201
    return result == "seen"


def examine(mutation: Mutation, copy: Path, *, baseline: bool) -> str:
    """Return "seen", "survived", "obsolete" (its text is gone) or "broken" (its tests fail without it)."""
    path = copy / mutation.path
    text = path.read_text()
    if text.count(mutation.old) != 1:
        return "obsolete"
    if baseline and run_tests(mutation.tests, copy) != PASSED:
        return "broken"
    path.write_text(text.replace(mutation.old, mutation.new))
    try:
        return {FAILED: "seen", PASSED: "survived"}.get(run_tests(mutation.tests, copy), "broken")
    finally:
        path.write_text(text)


def run_tests(arguments: Sequence[str], copy: Path) -> int:
    """Run tests in the copy until the first failure; return the exit code of pytest."""
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    return subprocess.run(
        command, cwd=copy, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
