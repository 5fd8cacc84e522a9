"""Output on a terminal: the live display while a flow runs, and tables that fit the width."""

import re
import signal

import pytest

from tests.cli.conftest import SHOP

BAR = "━"
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
COLOR = re.compile(rb"\x1b\[[0-9;]*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[;m]")


@pytest.fixture
def waiting_flow(terminal, tmp_path):
    """Run a flow of three tasks in a terminal until the second is shown as running; return the terminal."""

    def waiting_flow(*words, marker="1/3", **how):
        seen = terminal(
            "run", f"{SHOP}:gated", "--arg", f"folder={tmp_path}", "--store", "order=1", *words, **how
        )
        seen.wait_for("gate", "RUNNING", marker)
        return seen

    return waiting_flow


def row_of(seen, name):
    """Find the one line of the screen about an atom."""
    rows = [row for row in seen.rows if re.search(rf"(^|\s){name}(\s|$)", row)]
    assert len(rows) == 1, seen.text
    return rows[0]


def test_progress_is_shown_while_a_flow_runs_and_is_replaced_by_the_result(waiting_flow, tmp_path):
    seen = waiting_flow()
    assert BAR in seen.rows[0], seen.text
    assert "gated" in seen.rows[0]
    assert re.search(r"first +SUCCESS +\d", row_of(seen, "first"))
    assert re.search(rf"^[{SPINNER}] +gate +RUNNING +\d", row_of(seen, "gate"))
    assert not any("last" in row for row in seen.rows), "tasks that have not started are not shown"
    assert not seen.cursor_is_shown
    (tmp_path / "open").touch()
    assert seen.finish() == 0
    assert BAR not in seen.text
    assert not set(SPINNER) & set(seen.text)
    assert seen.rows[0].startswith("gated  SUCCESS  ")
    assert "3 SUCCESS" in seen.text
    assert all("SUCCESS" in row_of(seen, name) for name in ("first", "gate", "last"))
    assert seen.cursor_is_shown
    assert COLOR.search(seen.raw)


def test_the_display_is_animated(waiting_flow):
    seen = waiting_flow()
    frames = set()
    while len(frames) < 3:
        seen.wait_for("gate", "RUNNING")
        frames.add(row_of(seen, "gate")[0])
        seen.read()
    assert frames <= set(SPINNER)


@pytest.mark.parametrize("columns", [30, 40])
def test_a_narrow_terminal_truncates_names_but_not_states(waiting_flow, tmp_path, columns):
    seen = waiting_flow("--name", "a-flow-with-a-name-that-is-longer-than-the-line", columns=columns)
    for _ in range(8):
        seen.read()
        seen.wait_for("gate", "RUNNING", "1/3")
    # A line wider than the terminal would wrap, and would not be erased with the display.
    assert len(seen.rows) == 3, seen.text
    assert "RUNNING" in seen.rows[0]
    assert "a-" in seen.rows[0]
    assert "RUNNING" in row_of(seen, "gate")
    (tmp_path / "open").touch()
    assert seen.finish() == 0
    assert BAR not in seen.text
    assert all("SUCCESS" in row_of(seen, name) for name in ("first", "gate", "last"))


def test_a_low_terminal_shows_running_tasks(waiting_flow, tmp_path):
    seen = waiting_flow(columns=60, lines=8)
    assert "gate" in seen.text
    (tmp_path / "open").touch()
    assert seen.finish() == 0


def test_no_color_disables_colors_and_keeps_the_display(waiting_flow, tmp_path):
    seen = waiting_flow(NO_COLOR="1")
    assert BAR in seen.rows[0]
    assert "RUNNING" in row_of(seen, "gate")
    (tmp_path / "open").touch()
    assert seen.finish() == 0
    assert "SUCCESS" in row_of(seen, "last")
    assert not COLOR.search(seen.raw)


def test_a_dumb_terminal_gets_one_line_per_transition(waiting_flow, tmp_path):
    seen = waiting_flow(marker="task gate: RUNNING", TERM="dumb")
    (tmp_path / "open").touch()
    assert seen.finish() == 0
    assert "flow gated: SUCCESS" in seen.text
    assert b"\x1b" not in seen.raw


def test_a_failed_flow_is_shown_as_reverted(terminal):
    seen = terminal("run", f"{SHOP}:order", "--store", "order=1", "--arg", "fail=true")
    assert seen.finish() == 1
    assert seen.rows[0].startswith("order  REVERTED  ")
    assert "REVERTED" in row_of(seen, "reserve")
    assert "ship failed: ValueError: no stock for order 1" in seen.text
    assert BAR not in seen.text
    assert "Traceback" not in seen.text


def test_the_message_after_ctrl_c_is_shown_above_the_display(waiting_flow, tmp_path):
    seen = waiting_flow()
    seen.type(b"\x03")
    seen.wait_for("stopping after the running tasks", "1/3", "gate  ")
    assert seen.rows[0].startswith(
        "stopping after the running tasks; press Ctrl-C again to abort immediately"
    )
    assert BAR in seen.rows[1], "the display stays below"
    (tmp_path / "open").touch()
    assert seen.finish() == 4
    assert "SUSPENDED" in seen.text
    assert "stackl-flow resume" in seen.text
    assert BAR not in seen.text


def test_a_second_ctrl_c_restores_the_cursor(waiting_flow):
    seen = waiting_flow()
    seen.type(b"\x03")
    seen.wait_for("press Ctrl-C again")
    seen.type(b"\x03")
    assert seen.finish() == 130
    assert seen.cursor_is_shown
    assert "resume the flow with" in seen.text


def test_a_killed_flow_is_resumed_in_a_terminal(waiting_flow, terminal, tmp_path):
    seen = waiting_flow()
    seen.process.send_signal(signal.SIGKILL)
    seen.finish()
    again = terminal("resume", "gated")
    again.wait_for("1/3", "gate", "RUNNING")
    (tmp_path / "open").touch()
    assert again.finish() == 0
    assert "3 SUCCESS" in again.text


@pytest.mark.parametrize(("columns", "whole"), [(80, True), (40, False)])
def test_a_list_fits_the_terminal_and_still_identifies_each_flow(terminal, invoke, columns, whole):
    uuid = invoke("run", f"{SHOP}:order", "--store", "order=1", "--json").data["flow"]["uuid"]
    seen = terminal("list", columns=columns)
    assert seen.finish() == 0
    named = row_of(seen, "order").split()[0]
    assert named == (uuid if whole else uuid[:8])
    assert "SUCCESS" in row_of(seen, "order")
    assert invoke("show", named, "--json").data["flow"]["uuid"] == uuid


def test_a_history_fits_the_terminal(terminal, invoke):
    invoke("run", f"{SHOP}:lone", "--store", "order=1")
    wide, narrow = (terminal("history", "alone", columns=columns) for columns in (80, 40))
    assert (wide.finish(), narrow.finish()) == (0, 0)
    assert any(re.search(r"^ *\d+ +[\d-]+ [\d:.]+ +alone +PENDING +RUNNING", row) for row in wide.rows)
    assert any(re.search(r"^ *\d+ +alone +PENDING +RUNNING$", row) for row in narrow.rows), narrow.text
