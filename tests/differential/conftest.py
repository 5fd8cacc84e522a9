"""Prints what the random flows came to."""

from __future__ import annotations

import pytest

from tests.differential.tally import TALLY


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TALLY.verdicts:
        terminalreporter.section("differential test")
        for line in TALLY.lines():
            terminalreporter.write_line(line)
