"""Runs TaskFlow's test modules in a separate process and records the result of each test.

    python -m tests.compat.upstream_runner --out FILE test_task patterns.test_linear_flow

`--library taskflow` runs them on TaskFlow itself, for comparison.
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
from tests.compat.exclusions import HANGING, STUB_MODULES

ModuleResults = dict[str, dict[str, Any]]

#: The package of the tests.
UNIT = "taskflow.tests.unit."

#: The timeout of a test in seconds.
TIMEOUT = 60


class Results:
    """The results by module."""

    def __init__(self) -> None:
        self.modules: dict[str, ModuleResults] = {}

    def record(self, module: str, test: str, outcome: str, seconds: float = 0.0, text: str = "") -> None:
        known = self.modules.setdefault(module, {}).get(test)
        if known is None:
            self.modules[module][test] = {"outcome": outcome, "seconds": seconds, "text": text}
            return
        known["seconds"] += seconds
        if outcome != "passed":  # a failure in one phase counts
            known.update(outcome=outcome, text=text)


class PytestPlugin:
    """Records the reports of pytest."""

    def __init__(self, results: Results, root: Path) -> None:
        self._results = results
        self._root = root

    def _module(self, nodeid: str) -> str:
        return nodeid.split("::", 1)[0].removesuffix(".py").replace("/", ".")

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self._results.record(self._module(report.nodeid), "(import)", "failed", 0.0, str(report.longrepr))

    def pytest_runtest_logreport(self, report: Any) -> None:
        module = self._module(report.nodeid)
        test = ".".join(report.nodeid.split("::")[1:])
        text = ""
        if report.skipped:
            text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        elif report.failed:
            text = report.longreprtext
        self._results.record(module, test, report.outcome, report.duration, text)


class UnittestResult(unittest.TestResult):
    """Records the reports of unittest."""

    def __init__(self, results: Results, modules: list[str]) -> None:
        super().__init__()
        self._results = results
        self._modules = modules
        self._started = 0.0

    def _record(self, test: unittest.TestCase, outcome: str, text: str = "") -> None:
        kind = type(test)
        module, name = kind.__module__, test.id().removeprefix(f"{kind.__module__}.")
        if kind.__name__ == "_FailedTest":  # stands for a module that cannot be imported
            module, name = next(m for m in self._modules if m.endswith(name.rpartition(".")[2])), "(import)"
        self._results.record(module.removeprefix(UNIT), name, outcome, time.monotonic() - self._started, text)

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802  unittest's name
        super().startTest(test)
        self._started = time.monotonic()

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802  unittest's name
        self._record(test, "passed")

    def addError(self, test: Any, err: Any) -> None:  # noqa: N802  unittest's name
        self._record(test, "failed", self._exc_info_to_string(err, test))

    def addFailure(self, test: Any, err: Any) -> None:  # noqa: N802  unittest's name
        self._record(test, "failed", self._exc_info_to_string(err, test))

    def addSkip(self, test: Any, reason: str) -> None:  # noqa: N802  unittest's name
        self._record(test, "skipped", reason)


def shorten_waits() -> None:
    """Limit the waits in the tests to less than the timeout of a test, instead of five minutes."""
    from taskflow.tests import utils

    utils.WAIT_TIMEOUT = TIMEOUT / 2


def run_pytest(modules: list[str], results: Results) -> None:
    """Run modules under pytest, without this project's settings."""
    import pytest

    root = wheel.unit()
    paths = [str(root / f"{module.replace('.', '/')}.py") for module in modules]
    options = ["-c", os.devnull, "--rootdir", str(root), "--confcutdir", str(root), "-q", "--no-header"]
    options += ["-p", "no:cacheprovider", "--assert=plain", "--tb=native", "--show-capture=no"]
    options += [f"--timeout={TIMEOUT}", "--continue-on-collection-errors"]
    pytest.main([*options, *paths], plugins=[PytestPlugin(results, root)])


def run_unittest(modules: list[str], results: Results, without: Container[tuple[str, str]]) -> None:
    """Run modules, except some classes, under the loader of unittest, which supports scenarios."""
    names = [f"{UNIT}{module}" for module in modules]
    selected = unittest.TestSuite()
    for test in tests_in(unittest.defaultTestLoader.loadTestsFromNames(names)):
        kind = type(test)
        module = kind.__module__.removeprefix(UNIT)
        if (module, kind.__qualname__) in without:
            results.record(module, f"{kind.__qualname__}.{test.id().rpartition('.')[2]}", "not run")
        else:
            selected.addTest(test)
    selected.run(UnittestResult(results, names))


def tests_in(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    """Iterate over the tests of nested suites."""
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from tests_in(each)
        else:
            yield each


def main() -> None:
    parser = argparse.ArgumentParser(description="Run TaskFlow's test modules.")
    parser.add_argument("--library", choices=["stackl_flow", "taskflow"], default="stackl_flow")
    parser.add_argument("--loader", choices=["pytest", "unittest"], default="pytest")
    parser.add_argument("--out", type=Path, required=True, help="JSON file for the results")
    parser.add_argument(
        "modules", nargs="+", help="test modules, such as test_task or patterns.test_linear_flow"
    )
    options = parser.parse_args()
    opened: list[str] = []
    # Without this variable, the tests wait half a minute for a ZooKeeper server.
    os.environ.setdefault("TAKSFLOW_TEST_URL", "none://")
    audit = wheel.FileAudit() if options.library == "stackl_flow" else None
    if audit is not None:
        from stackl_flow import compat

        compat.install()
        sys.meta_path.insert(0, wheel.WheelFinder())
        sys.meta_path.insert(0, wheel.StubFinder(STUB_MODULES))
    shorten_waits()
    results = Results()
    started = time.monotonic()
    if options.loader == "pytest":
        run_pytest(options.modules, results)
    else:
        run_unittest(options.modules, results, () if audit is None else HANGING)
    seconds = time.monotonic() - started
    if audit is not None:
        opened = audit.foreign_files()
    options.out.write_text(json.dumps({"modules": results.modules, "seconds": seconds, "opened": opened}))


if __name__ == "__main__":
    main()
