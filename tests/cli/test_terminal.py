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

    def waiting_flow(*arguments, marker="1/3", **options):
        screen = terminal(
            "run", f"{SHOP}:gated", "--arg", f"folder={tmp_path}", "--store", "order=1", *arguments, **options
        )
        screen.wait_for("gate", "RUNNING", marker)
        return screen

    return waiting_flow


def row_of(screen, name):
    """Find the one line of the screen about an atom."""
    rows = [row for row in screen.rows if re.search(rf"(^|\s){name}(\s|$)", row)]
    assert len(rows) == 1, screen.text
    return rows[0]


def test_progress_is_shown_while_a_flow_runs_and_is_replaced_by_the_result(waiting_flow, tmp_path):
    screen = waiting_flow()
    assert BAR in screen.rows[0], screen.text
    assert "gated" in screen.rows[0]
    assert re.search(r"first +SUCCESS +\d", row_of(screen, "first"))
    assert re.search(rf"^[{SPINNER}] +gate +RUNNING +\d", row_of(screen, "gate"))
    assert not any("last" in row for row in screen.rows), "tasks that have not started are not shown"
    assert not screen.cursor_is_shown
    (tmp_path / "open").touch()
    assert screen.finish() == 0
    assert BAR not in screen.text
    assert not set(SPINNER) & set(screen.text)
    assert screen.rows[0].startswith("gated  SUCCESS  ")
    assert "3 SUCCESS" in screen.text
    assert all("SUCCESS" in row_of(screen, name) for name in ("first", "gate", "last"))
    assert screen.cursor_is_shown
    assert COLOR.search(screen.raw)


def test_the_display_is_animated(waiting_flow):
    screen = waiting_flow()
    frames = set()
    while len(frames) < 3:
        screen.wait_for("gate", "RUNNING")
        frames.add(row_of(screen, "gate")[0])
        screen.read()
    assert frames <= set(SPINNER)


@pytest.mark.parametrize("columns", [30, 40])
def test_a_narrow_terminal_truncates_names_but_not_states(waiting_flow, tmp_path, columns):
    screen = waiting_flow("--name", "a-flow-with-a-name-that-is-longer-than-the-line", columns=columns)
    for _ in range(8):
        screen.read()
        screen.wait_for("gate", "RUNNING", "1/3")
    # A line wider than the terminal would wrap, and would not be erased with the display.
    assert len(screen.rows) == 3, screen.text
    assert "RUNNING" in screen.rows[0]
    assert "a-" in screen.rows[0]
    assert "RUNNING" in row_of(screen, "gate")
    (tmp_path / "open").touch()
    assert screen.finish() == 0
    assert BAR not in screen.text
    assert all("SUCCESS" in row_of(screen, name) for name in ("first", "gate", "last"))


def test_a_low_terminal_shows_running_tasks(waiting_flow, tmp_path):
    screen = waiting_flow(columns=60, lines=8)
    assert "gate" in screen.text
    (tmp_path / "open").touch()
    assert screen.finish() == 0


def test_no_color_disables_colors_and_keeps_the_display(waiting_flow, tmp_path):
    screen = waiting_flow(NO_COLOR="1")
    assert BAR in screen.rows[0]
    assert "RUNNING" in row_of(screen, "gate")
    (tmp_path / "open").touch()
    assert screen.finish() == 0
    assert "SUCCESS" in row_of(screen, "last")
    assert not COLOR.search(screen.raw)


def test_a_dumb_terminal_gets_one_line_per_transition(waiting_flow, tmp_path):
    screen = waiting_flow(marker="task gate: RUNNING", TERM="dumb")
    (tmp_path / "open").touch()
    assert screen.finish() == 0
    assert "flow gated: SUCCESS" in screen.text
    assert b"\x1b" not in screen.raw


def test_a_failed_flow_is_shown_as_reverted(terminal):
    screen = terminal("run", f"{SHOP}:order", "--store", "order=1", "--arg", "fail=true")
    assert screen.finish() == 1
    assert screen.rows[0].startswith("order  REVERTED  ")
    assert "REVERTED" in row_of(screen, "reserve")
    assert "ship failed: ValueError: no stock for order 1" in screen.text
    assert BAR not in screen.text
    assert "Traceback" not in screen.text


def test_the_message_after_ctrl_c_is_shown_above_the_display(waiting_flow, tmp_path):
    screen = waiting_flow()
    screen.type(b"\x03")
    screen.wait_for("stopping after the running tasks", "1/3", "gate  ")
    assert screen.rows[0].startswith(
        "stopping after the running tasks; press Ctrl-C again to abort immediately"
    )
    assert BAR in screen.rows[1], "the display stays below"
    (tmp_path / "open").touch()
    assert screen.finish() == 4
    assert "SUSPENDED" in screen.text
    assert "stackl-flow resume" in screen.text
    assert BAR not in screen.text


def test_a_second_ctrl_c_restores_the_cursor(waiting_flow):
    screen = waiting_flow()
    screen.type(b"\x03")
    screen.wait_for("press Ctrl-C again")
    screen.type(b"\x03")
    assert screen.finish() == 130
    assert screen.cursor_is_shown
    assert "resume the flow with" in screen.text


def test_a_killed_flow_is_resumed_in_a_terminal(waiting_flow, terminal, tmp_path):
    screen = waiting_flow()
    screen.process.send_signal(signal.SIGKILL)
    screen.finish()
    again = terminal("resume", "gated")
    again.wait_for("1/3", "gate", "RUNNING")
    (tmp_path / "open").touch()
    assert again.finish() == 0
    assert "3 SUCCESS" in again.text


@pytest.mark.parametrize(("columns", "whole"), [(80, True), (40, False)])
def test_a_list_fits_the_terminal_and_still_identifies_each_flow(terminal, invoke, columns, whole):
    uuid = invoke("run", f"{SHOP}:order", "--store", "order=1", "--json").data["flow"]["uuid"]
    screen = terminal("list", columns=columns)
    assert screen.finish() == 0
    named = row_of(screen, "order").split()[0]
    assert named == (uuid if whole else uuid[:8])
    assert "SUCCESS" in row_of(screen, "order")
    assert invoke("show", named, "--json").data["flow"]["uuid"] == uuid


def test_a_history_fits_the_terminal(terminal, invoke):
    invoke("run", f"{SHOP}:lone", "--store", "order=1")
    wide, narrow = (terminal("history", "alone", columns=columns) for columns in (80, 40))
    assert (wide.finish(), narrow.finish()) == (0, 0)
    assert any(re.search(r"^ *\d+ +[\d-]+ [\d:.]+ +alone +PENDING +RUNNING", row) for row in wide.rows)
    assert any(re.search(r"^ *\d+ +alone +PENDING +RUNNING$", row) for row in narrow.rows), narrow.text
