"""Retention: logbooks deleted by `runs prune` and by a conductor."""

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.control import flows

SHOP = "tests.cli.shop"


@pytest.mark.parametrize(
    ("text", "seconds"), [("7d", 604_800), ("36h", 129_600), ("1.5m", 90), (" 0S ", 0), ("2w", 1_209_600)]
)
def test_durations_are_parsed(text, seconds):
    assert flows.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["7", "d", "-1d", "7 days", "1d12h", "", "٣d"])
def test_invalid_durations_are_refused(text):
    with pytest.raises(exc.InvalidFormat, match="write a number"):
        flows.parse_duration(text)


@pytest.fixture
def stored(invoke):
    """Run one flow that succeeds, one that fails, and one that gets stuck."""
    assert invoke("run", f"{SHOP}:order", "--store", "order=1", "--name", "done").code == 0
    assert (
        invoke("run", f"{SHOP}:order", "--store", "order=1", "--arg", "fail=true", "--name", "failed").code
        == 1
    )
    block = ["--arg", "fail=true", "--arg", "block=/"]
    assert invoke("run", f"{SHOP}:order", "--store", "order=1", *block, "--name", "stuck").code == 3
    return invoke


def names(invoke):
    return {flow["name"] for flow in invoke("list", "--json").data}


def test_a_dry_run_shows_what_would_be_deleted(stored):
    result = stored("runs", "prune", "--older-than", "0s", "--dry-run", "--json")
    assert result.code == 0
    assert not result.data["deleted"]
    runs = {(book["name"], book["failed"], book["flows"]) for book in result.data["runs"]}
    assert runs == {("done", False, 1), ("failed", True, 1)}
    assert "2 runs would be deleted" in result.err
    assert names(stored) == {"done", "failed", "stuck"}
    shown = stored("runs", "prune", "--older-than", "0s", "--dry-run").out
    assert "done" in shown
    assert "failed" in shown


def test_young_runs_are_kept(stored):
    assert stored("runs", "prune", "--older-than", "1h", "--json").data["runs"] == []
    assert names(stored) == {"done", "failed", "stuck"}


def test_failed_runs_can_be_kept(stored):
    result = stored("runs", "prune", "--older-than", "0s", "--failed-older-than", "never")
    assert result.code == 0
    assert names(stored) == {"failed", "stuck"}
    assert stored("runs", "prune", "--older-than", "0s").code == 0
    assert names(stored) == {"stuck"}


def test_the_newest_runs_can_be_kept_at_any_age(stored):
    assert stored("runs", "prune", "--older-than", "0s", "--keep-newest", "1").code == 0
    assert names(stored) == {"failed", "stuck"}  # it ended last
    assert stored("runs", "prune", "--older-than", "0s", "--only-jobs").code == 0
    assert names(stored) == {"failed", "stuck"}


def test_an_invalid_age_is_refused(invoke):
    for arguments in (["--older-than", "soon"], ["--older-than", "1d", "--failed-older-than", "soon"]):
        result = invoke("runs", "prune", *arguments)
        assert result.code == 2
        assert "invalid duration 'soon'" in result.err
    result = invoke("runs", "prune", "--older-than", "1d", "--db", "nowhere.db")
    assert result.code == 5
    assert "nowhere.db" in result.err


def test_a_conductor_applies_retention(invoke, tmp_path):
    board = {"STACKL_FLOW_BOARD": str(tmp_path / "jobs.db")}
    for number in range(3):
        assert invoke("post", f"{SHOP}:order", "--store", f"order={number}", **board).code == 0
    assert invoke("conduct", "--max-dispatches", "1", "--retention", "1h", **board).code == 0
    assert len(names(invoke)) == 1
    assert len(invoke("list", "--json").data) == 3
    assert invoke("conduct", "--max-dispatches", "1", "--retention", "0s", **board).code == 0
    assert len(invoke("list", "--json").data) == 2
    assert invoke("runs", "prune", "--older-than", "0s", "--only-jobs", **board).code == 0
    assert [flow["state"] for flow in invoke("list", "--json").data] == ["PENDING"]
    result = invoke("conduct", "--failed-retention", "1d", **board)
    assert result.code == 2
    assert "--retention" in result.err
