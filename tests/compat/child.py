"""Runs test modules of the wheel, in a process of their own, and writes down what came of each test.

    python -m tests.compat.child --out FILE test_task patterns.test_linear_flow

`--library theirs` runs them on TaskFlow itself, to compare with.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import unittest
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from tests.compat import wheel
from tests.compat.left_out import HANGING
from tests.compat.rooms import TO_COME

Verdicts = dict[str, dict[str, Any]]

#: Where the tests are.
UNIT = "taskflow.tests.unit."

#: A test of the wheel that takes longer has hung.
PATIENCE = 60


class Book:
    """What came of each test, by module."""

    def __init__(self) -> None:
        self.modules: dict[str, Verdicts] = {}

    def note(self, module: str, test: str, outcome: str, seconds: float = 0.0, text: str = "") -> None:
        known = self.modules.setdefault(module, {}).get(test)
        if known is None:
            self.modules[module][test] = {"outcome": outcome, "seconds": seconds, "text": text}
            return
        known["seconds"] += seconds
        if outcome != "passed":  # what went wrong in one phase is not mended by the next
            known.update(outcome=outcome, text=text)


class PytestPlugin:
    """Notes what pytest reports."""

    def __init__(self, book: Book, root: Path) -> None:
        self._book = book
        self._root = root

    def _module(self, nodeid: str) -> str:
        return nodeid.split("::", 1)[0].removesuffix(".py").replace("/", ".")

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self._book.note(self._module(report.nodeid), "(import)", "failed", 0.0, str(report.longrepr))

    def pytest_runtest_logreport(self, report: Any) -> None:
        module = self._module(report.nodeid)
        test = ".".join(report.nodeid.split("::")[1:])
        text = ""
        if report.skipped:
            text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        elif report.failed:
            text = report.longreprtext
        self._book.note(module, test, report.outcome, report.duration, text)


class UnittestResult(unittest.TestResult):
    """Notes what unittest reports."""

    def __init__(self, book: Book, modules: list[str]) -> None:
        super().__init__()
        self._book = book
        self._modules = modules
        self._began = 0.0

    def _note(self, test: unittest.TestCase, outcome: str, text: str = "") -> None:
        kind = type(test)
        module, name = kind.__module__, test.id().removeprefix(f"{kind.__module__}.")
        if kind.__name__ == "_FailedTest":  # what unittest makes of a module that cannot be imported
            module, name = next(m for m in self._modules if m.endswith(name.rpartition(".")[2])), "(import)"
        self._book.note(module.removeprefix(UNIT), name, outcome, time.monotonic() - self._began, text)

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802  unittest's name
        super().startTest(test)
        self._began = time.monotonic()

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802  unittest's name
        self._note(test, "passed")

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802  unittest's name
        self._note(test, "failed", self._exc_info_to_string(err, test))

    def addFailure(self, test: Any, err: Any) -> None:  # noqa: N802  unittest's name
        self._note(test, "failed", self._exc_info_to_string(err, test))

    def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802  unittest's name
        self._note(test, "skipped", reason)


def shorten_waits() -> None:
    """Have the tests that wait for something wait no longer than a test may take, instead of five minutes."""
    from taskflow.tests import utils

    utils.WAIT_TIMEOUT = PATIENCE / 2


def run_pytest(modules: list[str], book: Book) -> None:
    """Run modules under pytest, without any settings of ours."""
    import pytest

    root = wheel.unit()
    paths = [str(root / f"{module.replace('.', '/')}.py") for module in modules]
    options = ["-c", os.devnull, "--rootdir", str(root), "--confcutdir", str(root), "-q", "--no-header"]
    options += ["-p", "no:cacheprovider", "--assert=plain", "--tb=native", "--show-capture=no"]
    options += [f"--timeout={PATIENCE}", "--continue-on-collection-errors"]
    pytest.main([*options, *paths], plugins=[PytestPlugin(book, root)])


def run_unittest(modules: list[str], book: Book, without: Container[tuple[str, str]]) -> None:
    """Run modules, without some of their classes, under unittest's loader, which knows scenarios."""
    names = [f"{UNIT}{module}" for module in modules]
    wanted = unittest.TestSuite()
    for test in tests_in(unittest.defaultTestLoader.loadTestsFromNames(names)):
        kind = type(test)
        module = kind.__module__.removeprefix(UNIT)
        if (module, kind.__qualname__) in without:
            book.note(module, f"{kind.__qualname__}.{test.id().rpartition('.')[2]}", "not run")
        else:
            wanted.addTest(test)
    wanted.run(UnittestResult(book, names))


def tests_in(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """Go over the tests of a suite and of those in it."""
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from tests_in(each)
        else:
            yield each


def main() -> None:
    parser = argparse.ArgumentParser(description="Run test modules of the taskflow wheel.")
    parser.add_argument("--library", choices=["ours", "theirs"], default="ours")
    parser.add_argument("--loader", choices=["pytest", "unittest"], default="pytest")
    parser.add_argument("--out", type=Path, required=True, help="where to write what came of it, as JSON")
    parser.add_argument("modules", nargs="+", help="such as test_task or patterns.test_linear_flow")
    told = parser.parse_args()
    foreign: list[str] = []
    # TaskFlow's tests wait half a minute for a ZooKeeper that is not there, unless told of another server.
    os.environ.setdefault("TAKSFLOW_TEST_URL", "none://")
    guard = wheel.Guard() if told.library == "ours" else None
    if guard is not None:
        from stackl_flow import compat

        compat.install()
        sys.meta_path.insert(0, wheel.WheelFinder())
        sys.meta_path.insert(0, wheel.StandIns(TO_COME))
    shorten_waits()
    book = Book()
    began = time.monotonic()
    if told.loader == "pytest":
        run_pytest(told.modules, book)
    else:
        run_unittest(told.modules, book, () if guard is None else HANGING)
    seconds = time.monotonic() - began
    if guard is not None:
        foreign = guard.foreign()
    told.out.write_text(json.dumps({"modules": book.modules, "seconds": seconds, "foreign": foreign}))


if __name__ == "__main__":
    main()
