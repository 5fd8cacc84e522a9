"""What a person sees while a flow runs: a live display on a terminal, one line a move in a pipe."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.live import Live

from stackl_flow.cli.board import Board
from stackl_flow.cli.output import Output
from stackl_flow.cli.styles import clock_text
from stackl_flow.engines.base import Engine
from stackl_flow.notifier import Notifier

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
