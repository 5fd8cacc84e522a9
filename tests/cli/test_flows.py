"""`list`, `show`, `history`, `db upgrade`: questions, and databases that are none."""

import re
import sqlite3

import pytest

from stackl_flow.cli.errors import ABOUT
from tests.cli.conftest import ROOT, SHOP


@pytest.fixture
def ran(give):
    """A flow that went well and one that did not; gives the uuid of each."""
    good = give("run", f"{SHOP}:order", "--store", "order=1", "--json").data["flow"]["uuid"]
    bad = give("run", f"{SHOP}:order", "--store", "order=2", "--arg", "fail=true", "--json").data["flow"][
        "uuid"
    ]
    return good, bad


def test_list(give, ran):
    good, bad = ran
    answer = give("list")
    assert answer.code == 0
    assert re.search(rf"{bad}.*REVERTED[\s\S]*{good}.*SUCCESS", answer.out), "the newest first"
    assert [flow["uuid"] for flow in give("list", "--json").data] == [bad, good]
    assert [flow["uuid"] for flow in give("list", "--state", "success", "--json").data] == [good]
    assert len(give("list", "--limit", "1", "--json").data) == 1


def test_list_in_a_pipe_folds_nothing(start, finish, ran):
    answer = finish(start("list"))
    assert all(uuid in answer.out for uuid in ran)
    assert "\x1b" not in answer.out


def test_list_of_an_unknown_state(give, ran):
    answer = give("list", "--state", "HAPPY")
    assert answer.code == 2
    assert "'HAPPY' is no state of a flow" in answer.err


def test_show_by_uuid_beginning_and_name(give, ran):
    good, bad = ran
    assert give("show", bad).out == give("show", bad[:13]).out == give("show", bad.upper()[:13]).out
    assert give("show", bad, "--json").data["atoms"][-1]["failures"][0]["message"] == "no stock for order 2"
    twice = give("show", "order")
    assert twice.code == 7
    assert good in twice.err
    assert bad in twice.err


def test_show_of_nothing(give, ran):
    answer = give("show", "ffff-no-such")
    assert answer.code == 7
    assert "no flow 'ffff-no-such' is stored here" in answer.err
    assert give("show", "").code == 7
    assert give("show").code == 2


def test_show_with_results_needs_no_types(give, ran):
    data = give("show", ran[0], "--results", "--json").data
    assert data["atoms"][0]["result"] == {"order": 1}


def test_history(give, ran):
    moves = give("history", ran[0], "--json").data
    assert [move["seq"] for move in moves] == sorted(move["seq"] for move in moves)
    assert [(m["old"], m["new"]) for m in moves if m["atom"] is None] == [
        ("PENDING", "RUNNING"),
        ("RUNNING", "SUCCESS"),
    ]
    assert [(m["old"], m["new"]) for m in moves if m["atom"] == "ship"] == [
        ("PENDING", "RUNNING"),
        ("RUNNING", "SUCCESS"),
    ]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", move["at"]) for move in moves)
    part = give("history", ran[0], "--after", moves[2]["seq"], "--limit", "2", "--json").data
    assert part == moves[3:5]
    assert "(the flow)" in give("history", ran[0]).out


def test_every_question_needs_a_database(give):
    for words in (
        ["list"],
        ["show", "x"],
        ["history", "x"],
        ["resume", "x"],
        ["graph", "x"],
        ["db", "upgrade"],
    ):
        answer = give(*words, STACKL_FLOW_DB="")
        assert answer.code == 2
        assert "say where the flows are" in answer.err


def test_a_question_makes_no_database(give, tmp_path):
    for words in (["list"], ["show", "x"], ["history", "x"], ["resume", "x"], ["graph", "x"]):
        answer = give(*words, "--db", f"sqlite:///{tmp_path}/none.db")
        assert answer.code == 5
        assert "there is no database file" in answer.err
    assert not (tmp_path / "none.db").exists()


def test_a_file_that_is_no_database(give, tmp_path):
    wrong = tmp_path / "wrong.db"
    wrong.write_text("this is a letter to my aunt\n" * 100)
    for words in (["list"], ["run", f"{SHOP}:lone", "--store", "order=1"], ["db", "upgrade"]):
        answer = give(*words, "--db", wrong)
        assert answer.code == 5
        assert str(wrong) in answer.err
        assert "Traceback" not in answer.err


def test_a_database_of_something_else(give, tmp_path):
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE birds (name TEXT)")
    connection.close()
    answer = give("list", "--db", other)
    assert answer.code == 5
    assert "upgrade" in answer.err


@pytest.mark.parametrize("place", ["nosuch://here", "sqlite:////no/such/folder/flows.db", "/dev"])
def test_places_that_cannot_be(give, place):
    answer = give("run", f"{SHOP}:lone", "--store", "order=1", "--db", place)
    assert answer.code == 5
    assert answer.err.startswith("error: ")


def test_upgrade_makes_the_tables_and_can_be_said_again(give, db):
    for _ in range(2):
        answer = give("db", "upgrade", "--json")
        assert answer.code == 0
        assert answer.data["up_to_date"] is True
    assert give("list", "--json").data == []
    assert "no flows" in give("list").err


def test_version_and_help(give):
    assert re.fullmatch(r"stackl-flow \d+\.\d+\.\d+\S*\n", give("--version").out)
    text = give("--help").out
    assert "Exit codes" in text
    assert "REVERT_FAILURE" in text
    for command in ("run", "resume", "list", "show", "history", "graph"):
        assert "Example" in give(command, "--help").out
    assert give("dance").code == 2


def test_the_page_about_the_command_line_says_what_the_program_says():
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| (\d+) \| (.*) \|$", page, re.MULTILINE))
    assert {int(code): words.replace("`", "") for code, words in told.items()} == {
        int(c): w for c, w in ABOUT.items()
    }
    for name in (
        "--db",
        "--store",
        "--arg",
        "--name",
        "--engine",
        "--max-workers",
        "--results",
        "--force",
        "--stuck",
    ):
        assert name in page
