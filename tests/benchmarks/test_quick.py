"""The benchmarks run and the table shows what was measured; figures are not asserted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import ALL
from benchmarks.report import plain
from benchmarks.rows import Goal, Row, Samples, Status

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_quick_run_measures_everything(tmp_path):
    figures, table = tmp_path / "figures.json", tmp_path / "table.md"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json", figures, "--markdown", table]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads(figures.read_text())
    # The server may not be installed.
    missing = (
        set()
        if "skipped" not in done.stderr
        else {"postgresql-chain"} - {row["bench"] for row in results["rows"]}
    )
    assert {row["bench"] for row in results["rows"]} == set(ALL) - missing
    assert not (missing and os.environ.get("CI") == "true")
    assert all(row["ours"] >= 0 and row["status"] == "-" for row in results["rows"] if row["unit"] != "n")
    assert all(name in done.stdout and name in table.read_text() for name in set(ALL) - missing)


def test_unknown_name_is_an_error():
    command = [sys.executable, "-m", "benchmarks", "chains"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert "unknown benchmark chains" in done.stderr


@pytest.mark.parametrize(
    ("goal", "ours", "peer", "status"),
    [
        (Goal(at_most_ratio=1.5), 1.5, 1.0, Status.REACHED),
        (Goal(at_most_ratio=1.5), 1.6, 1.0, Status.MISSED),
        (Goal(at_least_faster=500), 1.0, 500.0, Status.REACHED),
        (Goal(at_least_faster=500), 1.0, 499.0, Status.MISSED),
        (Goal(at_most=50), 50e-6, 1.0, Status.REACHED),
        (Goal(at_most=50), 51e-6, 1.0, Status.MISSED),
        (None, 1.0, 1.0, Status.NONE),
    ],
)
def test_status(goal, ours, peer, status):
    row = Row("b", "c", "us", Samples("ours", [ours]), Samples("peer", [peer]), goal)
    assert row.status is status


def test_plain_table_has_one_line_for_each_row():
    rows = [Row("b", "c", "us", Samples("ours", [1e-6, 3e-6, 2e-6]), Samples("peer", [4e-6]))]
    head, line = plain(rows).splitlines()
    assert head.split() == ["benchmark", "case", "unit", "ours", "peer", "ratio", "target", "status"]
    assert line.split() == ["b", "c", "us", "a", "task", "2", "4", "peer", "0.50x", "-", "-"]
