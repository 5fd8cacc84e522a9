"""The live display: how far a flow is, and the atoms that matter now."""

import time
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Column, Table
from rich.text import Text

from stackl_flow import states
from stackl_flow.cli.styles import span_text, state_text

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
