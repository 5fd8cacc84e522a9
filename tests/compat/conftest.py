"""Prints how long the wheel's tests took, beside TaskFlow itself."""

from __future__ import annotations

import pytest

from tests.compat import suite, table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if suite.of_group.cache_info().currsize == len(suite.GROUPS):
        here, there = table.seconds()
        terminalreporter.section("TaskFlow's own tests")
        terminalreporter.write_line(f"{here:.1f} s here, {there:.1f} s on TaskFlow itself when last measured")
