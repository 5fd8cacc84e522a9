"""Logbooks removed from the command line, by hand and by a conductor."""

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.control import flows

SHOP = "tests.cli.shop"


@pytest.mark.parametrize(
    ("text", "seconds"), [("7d", 604_800), ("36h", 129_600), ("1.5m", 90), (" 0S ", 0), ("2w", 1_209_600)]
)
def test_spans_are_read(text, seconds):
    assert flows.span(text) == seconds


@pytest.mark.parametrize("text", ["7", "d", "-1d", "7 days", "1d12h", "", "٣d"])
def test_what_is_no_span_is_refused(text):
    with pytest.raises(exc.InvalidFormat, match="write a number"):
        flows.span(text)


@pytest.fixture
def stored(give):
    """One flow that was done, one that failed, one that is stuck, one that never began."""
    assert give("run", f"{SHOP}:order", "--store", "order=1", "--name", "done").code == 0
    assert (
        give("run", f"{SHOP}:order", "--store", "order=1", "--arg", "fail=true", "--name", "failed").code == 1
    )
    block = ["--arg", "fail=true", "--arg", "block=/"]
    assert give("run", f"{SHOP}:order", "--store", "order=1", *block, "--name", "stuck").code == 3
    return give


def names(give):
    return {flow["name"] for flow in give("list", "--json").data}


def test_a_dry_run_tells_what_would_go(stored):
    answer = stored("runs", "prune", "--older-than", "0s", "--dry-run", "--json")
    assert answer.code == 0
    assert not answer.data["removed"]
    told = {(book["name"], book["failed"], book["flows"]) for book in answer.data["runs"]}
    assert told == {("done", False, 1), ("failed", True, 1)}
    assert "2 logbooks would go" in answer.err
    assert names(stored) == {"done", "failed", "stuck"}
    shown = stored("runs", "prune", "--older-than", "0s", "--dry-run").out
    assert "done" in shown
    assert "failed" in shown


def test_what_is_young_stays(stored):
    assert stored("runs", "prune", "--older-than", "1h", "--json").data["runs"] == []
    assert names(stored) == {"done", "failed", "stuck"}


def test_failed_ones_may_stay(stored):
    answer = stored("runs", "prune", "--older-than", "0s", "--failed-older-than", "never")
    assert answer.code == 0
    assert names(stored) == {"failed", "stuck"}
    assert stored("runs", "prune", "--older-than", "0s").code == 0
    assert names(stored) == {"stuck"}


def test_some_may_stay_whatever_their_age(stored):
    assert stored("runs", "prune", "--older-than", "0s", "--keep-newest", "1").code == 0
    assert names(stored) == {"failed", "stuck"}  # the one that ended last
    assert stored("runs", "prune", "--older-than", "0s", "--only-jobs").code == 0
    assert names(stored) == {"failed", "stuck"}


def test_a_wrong_age_is_refused(give):
    for words in (["--older-than", "soon"], ["--older-than", "1d", "--failed-older-than", "soon"]):
        answer = give("runs", "prune", *words)
        assert answer.code == 2
        assert "no span of time" in answer.err
    answer = give("runs", "prune", "--older-than", "1d", "--db", "nowhere.db")
    assert answer.code == 5
    assert "nowhere.db" in answer.err


def test_a_conductor_removes_them(give, tmp_path):
    place = {"STACKL_FLOW_BOARD": str(tmp_path / "jobs.db")}
    for number in range(3):
        assert give("post", f"{SHOP}:order", "--store", f"order={number}", **place).code == 0
    assert give("conduct", "--max-dispatches", "1", "--retention", "1h", **place).code == 0
    assert len(names(give)) == 1
    assert len(give("list", "--json").data) == 3
    assert give("conduct", "--max-dispatches", "1", "--retention", "0s", **place).code == 0
    assert len(give("list", "--json").data) == 2
    assert give("runs", "prune", "--older-than", "0s", "--only-jobs", **place).code == 0
    assert [flow["state"] for flow in give("list", "--json").data] == ["PENDING"]
    answer = give("conduct", "--failed-retention", "1d", **place)
    assert answer.code == 2
    assert "--retention" in answer.err
