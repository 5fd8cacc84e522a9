"""What a user sees of a running flow: a live display on a terminal, one line per transition in a pipe."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Column, Table
from rich.text import Text

from stackl_flow import states
from stackl_flow.cli.output import Output
from stackl_flow.cli.tables import duration_text, state_text, time_text
from stackl_flow.control.views import QUEUED
from stackl_flow.engines.base import Engine
from stackl_flow.notifier import Notifier

_RUNNING = frozenset({states.RUNNING, states.REVERTING, states.RETRYING})
_FINISHED = frozenset({states.SUCCESS, states.FAILURE, states.REVERTED, states.REVERT_FAILURE, states.IGNORE})
_MAX_RECENT = 6
_BAR_WIDTH = 40
#: Lines that are used by the head of the display and by what surrounds it.
_RESERVED_LINES = 6


class FlowDisplay:
    """Progress of a flow and its running and recent atoms; redrawn whenever the screen is refreshed.

    The engine's thread updates it while another thread draws it.

    Args:
        flow_name: name of the flow.
        atoms: names and states of its atoms, in the order in which they run.
        is_queued: returns whether an atom that is RUNNING waits for a thread.
    """

    def __init__(
        self,
        flow_name: str,
        atoms: Iterable[tuple[str, str | None]],
        is_queued: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.flow_name = flow_name
        self._is_queued = is_queued
        self.flow_state = states.PENDING
        self._started = time.monotonic()
        self._states: dict[str, str] = {name: state or states.PENDING for name, state in atoms}
        self._running_since: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        self._recent: list[str] = []
        self._spinner = Spinner("dots")

    def set_atom_state(self, name: str, state: str) -> None:
        """Record a transition of an atom."""
        now = time.monotonic()
        since = self._running_since.pop(name, None)
        if since is not None and state != states.PENDING:
            self._seconds[name] = now - since
        if state in _RUNNING:
            self._running_since[name] = now
        self._states[name] = state
        self._recent = [*(other for other in self._recent if other != name), name][-_MAX_RECENT:]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the display."""
        now = time.monotonic()
        # Copied first, because the engine's thread continues meanwhile.
        atom_states, since = dict(self._states), dict(self._running_since)
        for name in [name for name in since if self._is_queued(name)]:
            del since[name]
            if name in self._running_since:
                self._running_since[name] = now  # it has not started before now
            atom_states[name] = QUEUED
        finished = sum(state in _FINISHED for state in atom_states.values())
        lines = max(4, options.size.height - _RESERVED_LINES)
        running = list(since)[: lines - 1]
        others = [name for name in self._recent if name not in since]
        table = _grid(columns=4, name=1)
        for name in [*others[-max(1, lines - len(running)) :], *running]:
            is_running = name in since
            seconds = now - since[name] if is_running else self._seconds.get(name)
            table.add_row(
                self._spinner.render(console.get_time()) if is_running else Text(" "),
                Text(name, overflow="ellipsis", no_wrap=True),
                state_text(atom_states[name]),
                duration_text(seconds),
            )
        hidden = len(since) - len(running)
        yield Group(
            self._head(now, finished, len(atom_states)),
            table,
            Text(f"  and {hidden} more running" if hidden else "", style="dim"),
        )

    def _head(self, now: float, finished: int, total: int) -> Table:
        head = _grid(columns=5, name=0, bar=2)
        head.add_row(
            Text(self.flow_name, style="bold", overflow="ellipsis", no_wrap=True),
            state_text(self.flow_state),
            ProgressBar(total=max(total, 1), completed=finished, width=_BAR_WIDTH),
            f"{finished}/{total}",
            Text(duration_text(now - self._started), style="dim"),
        )
        return head


def _grid(columns: int, name: int, bar: int = -1) -> Table:
    """Make a table in which a narrow terminal truncates names and the bar, but nothing else."""
    return Table.grid(
        *(Column(no_wrap=number not in {name, bar}) for number in range(columns)), padding=(0, 2)
    )


class _Observer(Protocol):
    """Receives the notifications of an engine."""

    def flow_changed(self, state: str, details: Mapping[str, Any]) -> None:
        """Handle a transition of the flow."""

    def atom_changed(self, state: str, details: Mapping[str, Any]) -> None:
        """Handle a transition of an atom."""


class _TransitionLines:
    """Writes one line per transition."""

    def __init__(self, out: Output) -> None:
        self._out = out

    def flow_changed(self, state: str, details: Mapping[str, Any]) -> None:
        self._write("flow", str(details["flow_name"]), state)

    def atom_changed(self, state: str, details: Mapping[str, Any]) -> None:
        kind = "task" if "task_name" in details else "retry"
        self._write(kind, str(details[f"{kind}_name"]), state)

    def _write(self, kind: str, name: str, state: str) -> None:
        line = f"{time_text(time.time())} {kind} {name}: {state}"
        self._out.console.print(line, markup=False, soft_wrap=True)
        self._out.console.file.flush()


class _DisplayUpdater:
    """Updates a display."""

    def __init__(self, display: FlowDisplay) -> None:
        self._display = display

    def flow_changed(self, state: str, details: Mapping[str, Any]) -> None:
        del details
        self._display.flow_state = state

    def atom_changed(self, state: str, details: Mapping[str, Any]) -> None:
        self._display.set_atom_state(str(details.get("task_name") or details.get("retry_name")), state)


@contextmanager
def show_flow(engine: Engine, out: Output) -> Iterator[None]:
    """Show the transitions of a compiled engine while it runs; with --json nothing is shown."""
    if out.as_json:
        yield
        return
    if not out.is_live:
        with _registered(engine, _TransitionLines(out)):
            yield
        return
    storage = engine.storage
    plan = engine.compilation
    names = () if plan is None else plan.names
    display = FlowDisplay(
        str(storage.flow_name),
        [(name, storage.get_atom_state(name)) for name in names],
        storage.is_atom_queued,
    )
    with out.live_display(display), _registered(engine, _DisplayUpdater(display)):
        yield


@contextmanager
def _registered(engine: Engine, observer: _Observer) -> Iterator[None]:
    engine.notifier.register(Notifier.ANY, observer.flow_changed)
    engine.atom_notifier.register(Notifier.ANY, observer.atom_changed)
    try:
        yield
    finally:
        engine.notifier.deregister(Notifier.ANY, observer.flow_changed)
        engine.atom_notifier.deregister(Notifier.ANY, observer.atom_changed)
