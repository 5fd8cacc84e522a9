"""`list`, `show`, `history` and `db upgrade`, also with files that are no databases of flows."""

import re
import sqlite3

import pytest

from tests.cli.conftest import SHOP


@pytest.fixture
def ran(invoke):
    """Run a flow that succeeds and one that fails; return their uuids."""
    good = invoke("run", f"{SHOP}:order", "--store", "order=1", "--json").data["flow"]["uuid"]
    bad = invoke("run", f"{SHOP}:order", "--store", "order=2", "--arg", "fail=true", "--json").data["flow"][
        "uuid"
    ]
    return good, bad


def test_list(invoke, ran):
    good, bad = ran
    result = invoke("list")
    assert result.code == 0
    assert re.search(rf"{bad}.*REVERTED[\s\S]*{good}.*SUCCESS", result.out), "newest first"
    assert [flow["uuid"] for flow in invoke("list", "--json").data] == [bad, good]
    assert [flow["uuid"] for flow in invoke("list", "--state", "success", "--json").data] == [good]
    assert len(invoke("list", "--limit", "1", "--json").data) == 1


def test_list_in_a_pipe_wraps_nothing(invoke, ran):
    result = invoke("list", COLUMNS="40")
    assert all(uuid in result.out for uuid in ran)
    assert "\x1b" not in result.out


def test_list_of_an_unknown_state(invoke, ran):
    result = invoke("list", "--state", "HAPPY")
    assert result.code == 2
    assert "'HAPPY' is not a state of a flow" in result.err


def test_show_by_uuid_prefix_and_name(invoke, ran):
    good, bad = ran
    assert invoke("show", bad).out == invoke("show", bad[:13]).out == invoke("show", bad.upper()[:13]).out
    assert invoke("show", bad, "--json").data["atoms"][-1]["failures"][0]["message"] == "no stock for order 2"
    twice = invoke("show", "order")
    assert twice.code == 7
    assert good in twice.err
    assert bad in twice.err


def test_show_of_a_missing_flow(invoke, ran):
    result = invoke("show", "ffff-no-such")
    assert result.code == 7
    assert "no flow 'ffff-no-such' in this database" in result.err
    assert invoke("show", "").code == 7
    assert invoke("show").code == 2


def test_show_with_results_needs_no_types(invoke, ran):
    data = invoke("show", ran[0], "--results", "--json").data
    assert data["atoms"][0]["result"] == {"order": 1}


def test_history(invoke, ran):
    transitions = invoke("history", ran[0], "--json").data
    assert [t["seq"] for t in transitions] == sorted(t["seq"] for t in transitions)
    assert [(m["old"], m["new"]) for m in transitions if m["atom"] is None] == [
        ("PENDING", "RUNNING"),
        ("RUNNING", "SUCCESS"),
    ]
    assert [(m["old"], m["new"]) for m in transitions if m["atom"] == "ship"] == [
        ("PENDING", "RUNNING"),
        ("RUNNING", "SUCCESS"),
    ]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", t["at"]) for t in transitions)
    part = invoke("history", ran[0], "--after", transitions[2]["seq"], "--limit", "2", "--json").data
    assert part == transitions[3:5]
    assert "(flow)" in invoke("history", ran[0]).out


def test_every_query_needs_a_database(invoke):
    for arguments in (
        ["list"],
        ["show", "x"],
        ["history", "x"],
        ["resume", "x"],
        ["graph", "x"],
        ["db", "upgrade"],
    ):
        result = invoke(*arguments, STACKL_FLOW_DB="")
        assert result.code == 2
        assert "no database: pass --db URL or set STACKL_FLOW_DB" in result.err


def test_queries_create_no_database(invoke, tmp_path):
    for arguments in (["list"], ["show", "x"], ["history", "x"], ["resume", "x"], ["graph", "x"]):
        result = invoke(*arguments, "--db", f"sqlite:///{tmp_path}/none.db")
        assert result.code == 5
        assert "does not exist: check --db" in result.err
    assert not (tmp_path / "none.db").exists()


def test_a_file_that_is_not_a_database(invoke, tmp_path):
    wrong = tmp_path / "wrong.db"
    wrong.write_text("this is plain text\n" * 100)
    for arguments in (["list"], ["run", f"{SHOP}:lone", "--store", "order=1"], ["db", "upgrade"]):
        result = invoke(*arguments, "--db", wrong)
        assert result.code == 5
        assert str(wrong) in result.err
        assert "Traceback" not in result.err


def test_a_database_of_another_program(invoke, tmp_path):
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE other (name TEXT)")
    connection.close()
    result = invoke("list", "--db", other)
    assert result.code == 5
    assert "upgrade" in result.err


@pytest.mark.parametrize("url", ["nosuch://here", "sqlite:////no/such/folder/flows.db", "/dev"])
def test_databases_that_cannot_be_used(invoke, url):
    result = invoke("run", f"{SHOP}:lone", "--store", "order=1", "--db", url)
    assert result.code == 5
    assert result.err.startswith("error: ")


def test_upgrade_creates_the_tables_and_can_be_repeated(invoke, db):
    for _ in range(2):
        result = invoke("db", "upgrade", "--json")
        assert result.code == 0
        assert result.data["up_to_date"] is True
    assert invoke("list", "--json").data == []
    assert "no flows" in invoke("list").err


def test_version_and_help(invoke):
    assert re.fullmatch(r"stackl-flow \d+\.\d+\.\d+\S*\n", invoke("--version").out)
    text = invoke("--help").out
    assert "Exit codes" in text
    assert "REVERT_FAILURE" in text
    for command in ("run", "resume", "list", "show", "history", "graph"):
        assert "Example" in invoke(command, "--help").out
    assert invoke("dance").code == 2
