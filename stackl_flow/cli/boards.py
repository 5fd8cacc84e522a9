"""The live display: how far a flow is, and the atoms that matter now.

What a person sees while a flow runs: a live display on a terminal, one line a move in a pipe.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Column, Table
from rich.text import Text

from stackl_flow import states
from stackl_flow.cli.output import Output
from stackl_flow.cli.tables import clock_text, span_text, state_text
from stackl_flow.engines.base import Engine
from stackl_flow.notifier import Notifier

_WORKING = frozenset({states.RUNNING, states.REVERTING, states.RETRYING})
_DONE = frozenset({states.SUCCESS, states.FAILURE, states.REVERTED, states.REVERT_FAILURE, states.IGNORE})
_OTHER_LINES = 6
_BAR_WIDTH = 40


class Board:
    """Draws itself anew whenever the screen is refreshed; moves are put in by the engine's thread.

    Args:
        flow_name: the flow's name.
        atoms: the atoms' names and states, in the order in which they would run.
    """

    def __init__(self, flow_name: str, atoms: Iterable[tuple[str, str | None]]) -> None:
        self.flow_name = flow_name
        self.flow_state = states.PENDING
        self._started = time.monotonic()
        self._states: dict[str, str] = {name: state or states.PENDING for name, state in atoms}
        self._since: dict[str, float] = {}
        self._took: dict[str, float] = {}
        self._recent: list[str] = []
        self._spinner = Spinner("dots")

    def move(self, name: str, state: str) -> None:
        """Take a move of an atom.

        Args:
            name: the atom.
            state: its new state.
        """
        now = time.monotonic()
        since = self._since.pop(name, None)
        if since is not None:
            self._took[name] = now - since
        if state in _WORKING:
            self._since[name] = now
        self._states[name] = state
        self._recent = [*(one for one in self._recent if one != name), name][-_OTHER_LINES:]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the board."""
        now = time.monotonic()
        # Copied at once, because the engine's thread goes on meanwhile.
        standing, since = dict(self._states), dict(self._since)
        done = sum(state in _DONE for state in standing.values())
        room = max(4, options.size.height - 6)
        working = list(since)[: room - 1]
        others = [name for name in self._recent if name not in since]
        shown = [*others[-max(1, room - len(working)) :], *working]
        table = _grid(1, 4)
        for name in shown:
            at_work = name in since
            seconds = now - since[name] if at_work else self._took.get(name)
            sign = self._spinner.render(console.get_time()) if at_work else Text(" ")
            table.add_row(
                sign,
                Text(name, overflow="ellipsis", no_wrap=True),
                state_text(standing[name]),
                span_text(seconds),
            )
        hidden = len(since) - len(working)
        yield Group(
            self._head(now, done, len(standing)),
            table,
            Text(f"  and {hidden} more at work" if hidden else "", style="dim"),
        )

    def _head(self, now: float, done: int, total: int) -> Table:
        head = _grid(0, 5, bar=2)
        head.add_row(
            Text(self.flow_name, style="bold", overflow="ellipsis", no_wrap=True),
            state_text(self.flow_state),
            ProgressBar(total=max(total, 1), completed=done, width=_BAR_WIDTH),
            f"{done}/{total}",
            Text(span_text(now - self._started), style="dim"),
        )
        return head


def _grid(name: int, columns: int, bar: int = -1) -> Table:
    """Make a table in which a narrow terminal cuts names short, and the bar, but nothing else."""
    widths = (Column(no_wrap=number not in {name, bar}) for number in range(columns))
    return Table.grid(*widths, padding=(0, 2))


_REFRESH = 8


class Watcher(Protocol):
    """Takes the moves of a flow as they happen."""

    def flow_moved(self, state: str, details: Mapping[str, Any]) -> None:
        """Take a move of the flow."""

    def atom_moved(self, state: str, details: Mapping[str, Any]) -> None:
        """Take a move of an atom."""

    def tell(self, words: str) -> None:
        """Show a message beside the moves."""


class Silence:
    """Shows nothing but messages.

    Args:
        out: the voice of the command.
    """

    def __init__(self, out: Output) -> None:
        self._out = out

    def flow_moved(self, state: str, details: Mapping[str, Any]) -> None:
        """Take a move of the flow."""

    def atom_moved(self, state: str, details: Mapping[str, Any]) -> None:
        """Take a move of an atom."""

    def tell(self, words: str) -> None:
        """Show a message."""
        self._out.say(words)


class Lines(Silence):
    """Writes one line a move.

    Args:
        out: the voice of the command.
    """

    def flow_moved(self, state: str, details: Mapping[str, Any]) -> None:
        """Write a move of the flow."""
        self._write("flow", str(details["flow_name"]), state)

    def atom_moved(self, state: str, details: Mapping[str, Any]) -> None:
        """Write a move of an atom."""
        kind = "task" if "task_name" in details else "retry"
        self._write(kind, str(details[f"{kind}_name"]), state)

    def _write(self, kind: str, name: str, state: str) -> None:
        line = f"{clock_text(time.time())} {kind} {name}: {state}"
        self._out.console.print(line, markup=False, soft_wrap=True)
        self._out.console.file.flush()


class Display:
    """Feeds the board that is drawn live.

    Args:
        board: what is drawn.
        console: where.
    """

    def __init__(self, board: Board, console: Console) -> None:
        self._board = board
        self._console = console

    def flow_moved(self, state: str, details: Mapping[str, Any]) -> None:
        """Put a move of the flow on the board."""
        del details
        self._board.flow_state = state

    def atom_moved(self, state: str, details: Mapping[str, Any]) -> None:
        """Put a move of an atom on the board."""
        self._board.move(str(details.get("task_name") or details.get("retry_name")), state)

    def tell(self, words: str) -> None:
        """Show a message above the board."""
        self._console.print(words, markup=False)


@contextmanager
def watching(engine: Engine, out: Output) -> Iterator[Watcher]:
    """Show the moves of an engine while it runs.

    Args:
        engine: the engine, compiled.
        out: the voice of the command.

    Yields:
        The watcher, for messages in between.
    """
    if not out.live:
        watcher: Watcher = Silence(out) if out.as_json else Lines(out)
        with _listening(engine, watcher):
            yield watcher
        return
    storage = engine.storage
    plan = engine.compilation
    names = () if plan is None else plan.names
    board = Board(str(storage.flow_name), [(name, storage.get_atom_state(name)) for name in names])
    watcher = Display(board, out.console)
    with (
        Live(board, console=out.console, refresh_per_second=_REFRESH, transient=True),
        _listening(engine, watcher),
    ):
        yield watcher


@contextmanager
def _listening(engine: Engine, watcher: Watcher) -> Iterator[None]:
    engine.notifier.register(Notifier.ANY, watcher.flow_moved)
    engine.atom_notifier.register(Notifier.ANY, watcher.atom_moved)
    try:
        yield
    finally:
        engine.notifier.deregister(Notifier.ANY, watcher.flow_moved)
        engine.atom_notifier.deregister(Notifier.ANY, watcher.atom_moved)
