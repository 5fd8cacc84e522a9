"""What a person sees at a terminal: the live display while a flow runs, and answers that fit the width."""

import re
import signal

import pytest

from tests.cli.conftest import SHOP

BAR = "━"
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
COLOUR = re.compile(rb"\x1b\[[0-9;]*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[;m]")


@pytest.fixture
def at_the_gate(terminal, tmp_path):
    """Run a flow of three on a terminal until the second of them is seen at work; gives the terminal."""

    def at_the_gate(*words, sign="1/3", **how):
        seen = terminal(
            "run", f"{SHOP}:gated", "--arg", f"folder={tmp_path}", "--store", "order=1", *words, **how
        )
        seen.wait_for("gate", "RUNNING", sign)
        return seen

    return at_the_gate


def row_of(seen, name):
    """Find the one line of the screen that tells of an atom."""
    rows = [row for row in seen.rows if re.search(rf"(^|\s){name}(\s|$)", row)]
    assert len(rows) == 1, seen.text
    return rows[0]


def test_progress_is_drawn_while_a_flow_runs_and_gives_way_to_the_answer(at_the_gate, tmp_path):
    seen = at_the_gate()
    assert BAR in seen.rows[0], seen.text
    assert "gated" in seen.rows[0]
    assert re.search(r"first +SUCCESS +\d", row_of(seen, "first"))
    assert re.search(rf"^[{SPINNER}] +gate +RUNNING +\d", row_of(seen, "gate"))
    assert not any("last" in row for row in seen.rows), "what has not begun takes no room"
    assert not seen.cursor_is_shown
    (tmp_path / "open").touch()
    assert seen.finish() == 0
    assert BAR not in seen.text
    assert not set(SPINNER) & set(seen.text)
    assert seen.rows[0].startswith("gated  SUCCESS  ")
    assert "3 SUCCESS" in seen.text
    assert all("SUCCESS" in row_of(seen, name) for name in ("first", "gate", "last"))
    assert seen.cursor_is_shown
    assert COLOUR.search(seen.raw)


def test_the_display_moves_while_nothing_happens(at_the_gate):
    seen = at_the_gate()
    signs = set()
    while len(signs) < 3:
        seen.wait_for("gate", "RUNNING")
        signs.add(row_of(seen, "gate")[0])
        seen.read()
    assert signs <= set(SPINNER)


@pytest.mark.parametrize("columns", [30, 40])
def test_a_narrow_terminal_cuts_names_but_no_states_and_nothing_twice(at_the_gate, tmp_path, columns):
    seen = at_the_gate("--name", "a-flow-with-a-name-that-is-longer-than-the-line", columns=columns)
    for _ in range(8):
        seen.read()
        seen.wait_for("gate", "RUNNING", "1/3")
    # A line that were wider than the terminal would be folded, and never be wiped again.
    assert len(seen.rows) == 3, seen.text
    assert "RUNNING" in seen.rows[0]
    assert "a-" in seen.rows[0]
    assert "RUNNING" in row_of(seen, "gate")
    (tmp_path / "open").touch()
    assert seen.finish() == 0
    assert BAR not in seen.text
    assert all("SUCCESS" in row_of(seen, name) for name in ("first", "gate", "last"))


def test_a_low_terminal_shows_what_is_at_work(at_the_gate, tmp_path):
    seen = at_the_gate(columns=60, lines=8)
    assert "gate" in seen.text
    (tmp_path / "open").touch()
    assert seen.finish() == 0


def test_no_color_takes_the_colours_and_leaves_the_display(at_the_gate, tmp_path):
    seen = at_the_gate(NO_COLOR="1")
    assert BAR in seen.rows[0]
    assert "RUNNING" in row_of(seen, "gate")
    (tmp_path / "open").touch()
    assert seen.finish() == 0
    assert "SUCCESS" in row_of(seen, "last")
    assert not COLOUR.search(seen.raw)


def test_a_terminal_that_cannot_wipe_gets_one_line_a_move(at_the_gate, tmp_path):
    seen = at_the_gate(sign="task gate: RUNNING", TERM="dumb")
    (tmp_path / "open").touch()
    assert seen.finish() == 0
    assert "flow gated: SUCCESS" in seen.text
    assert b"\x1b" not in seen.raw


def test_a_flow_that_fails_is_seen_undone(terminal):
    seen = terminal("run", f"{SHOP}:order", "--store", "order=1", "--arg", "fail=true")
    assert seen.finish() == 1
    assert seen.rows[0].startswith("order  REVERTED  ")
    assert "REVERTED" in row_of(seen, "reserve")
    assert "ship failed: ValueError: no stock for order 1" in seen.text
    assert BAR not in seen.text
    assert "Traceback" not in seen.text


def test_ctrl_c_is_answered_above_the_display(at_the_gate, tmp_path):
    seen = at_the_gate()
    seen.type(b"\x03")
    seen.wait_for("suspending after the atoms at work", "1/3", "gate  ")
    assert seen.rows[0].startswith("suspending after the atoms at work; Ctrl-C once more aborts at once")
    assert BAR in seen.rows[1], "the display stays below"
    (tmp_path / "open").touch()
    assert seen.finish() == 4
    assert "SUSPENDED" in seen.text
    assert "stackl-flow resume" in seen.text
    assert BAR not in seen.text


def test_a_second_ctrl_c_gives_the_cursor_back(at_the_gate):
    seen = at_the_gate()
    seen.type(b"\x03")
    seen.wait_for("Ctrl-C once more")
    seen.type(b"\x03")
    assert seen.finish() == 130
    assert seen.cursor_is_shown
    assert "go on with it" in seen.text


def test_killed_in_the_middle_and_resumed_at_a_terminal(at_the_gate, terminal, tmp_path):
    seen = at_the_gate()
    seen.process.send_signal(signal.SIGKILL)
    seen.finish()
    again = terminal("resume", "gated")
    again.wait_for("1/3", "gate", "RUNNING")
    (tmp_path / "open").touch()
    assert again.finish() == 0
    assert "3 SUCCESS" in again.text


@pytest.mark.parametrize(("columns", "whole"), [(80, True), (40, False)])
def test_a_list_fits_the_terminal_and_still_names_each_flow(terminal, give, columns, whole):
    uuid = give("run", f"{SHOP}:order", "--store", "order=1", "--json").data["flow"]["uuid"]
    seen = terminal("list", columns=columns)
    assert seen.finish() == 0
    named = row_of(seen, "order").split()[0]
    assert named == (uuid if whole else uuid[:8])
    assert "SUCCESS" in row_of(seen, "order")
    assert give("show", named, "--json").data["flow"]["uuid"] == uuid


def test_a_history_fits_the_terminal(terminal, give):
    give("run", f"{SHOP}:lone", "--store", "order=1")
    wide, narrow = (terminal("history", "alone", columns=columns) for columns in (80, 40))
    assert (wide.finish(), narrow.finish()) == (0, 0)
    assert any(re.search(r"^ *\d+ +[\d-]+ [\d:.]+ +alone +PENDING +RUNNING", row) for row in wide.rows)
    assert any(re.search(r"^ *\d+ +alone +PENDING +RUNNING$", row) for row in narrow.rows), narrow.text
