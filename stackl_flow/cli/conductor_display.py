"""What a person sees of a conductor: a live table on a terminal, one JSON object a line in a pipe."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from stackl_flow.cli.output import Output
from stackl_flow.cli.tables import span_text
from stackl_flow.conductors.conductor import Conductor
from stackl_flow.conductors.job_runner import EVENT_OF_DISPOSITION

_REFRESH = 8
_LAST = 8
_ENDS = {event: event.removeprefix("job_") for event in EVENT_OF_DISPOSITION.values()}
#: The ways in which work on a job ends, in words.
ENDS = tuple(_ENDS.values())
_COLOURS = {"consumed": "green", "trashed": "red", "abandoned": "yellow", "released": "yellow"}


class Tally:
    """Counts what a conductor did; its threads put it in, others read it.

    Args:
        name: the conductor's name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.ends: Counter[str] = Counter()
        self._began = time.monotonic()
        self._running: dict[str, tuple[str, str, float]] = {}
        self._last: list[tuple[str, str, float]] = []
        self._lock = threading.Lock()

    def hear(self, event: str, details: Mapping[str, Any]) -> None:
        """Take an event of the conductor.

        Args:
            event: the event.
            details: which job it is about.
        """
        job, now = details["job"], time.monotonic()
        with self._lock:
            since = self._running.get(job.uuid, (job.name, "", now))[2]
            if event in _ENDS:
                self.ends[_ENDS[event]] += 1
                self._running.pop(job.uuid, None)
                self._last = [*self._last, (job.name, _ENDS[event], now - since)][-_LAST:]
            else:
                self._running[job.uuid] = (job.name, event.partition("_")[0], since)

    @property
    def age(self) -> float:
        """For how many seconds it has counted."""
        return time.monotonic() - self._began

    @property
    def running(self) -> list[tuple[str, str, float]]:
        """The jobs at work: name, stage, and since when on the monotonic clock."""
        with self._lock:
            return list(self._running.values())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the table."""
        now = time.monotonic()
        table = Table.grid(Column(), Column(no_wrap=True), Column(no_wrap=True), padding=(0, 2))
        with self._lock:
            last, running = list(self._last), list(self._running.values())
        for name, end, seconds in last:
            table.add_row(Text(f"  {name}", style="dim"), Text(end, style=_COLOURS[end]), span_text(seconds))
        for name, stage, since in running[: max(4, options.size.height - len(last) - 3)]:
            table.add_row(Text(f"> {name}"), Text(stage, style="cyan"), span_text(now - since))
        counts = ", ".join(f"{count} {end}" for end, count in self.ends.items()) or "nothing done yet"
        head = Text.assemble((self.name, "bold"), f"  {len(running)} at work, {counts}  ")
        head.append(span_text(now - self._began), style="dim")
        yield Group(head, table)


class Lines:
    """Writes each event of a conductor as one JSON object a line.

    Args:
        out: the voice of the command.
    """

    def __init__(self, out: Output) -> None:
        self._out = out

    def hear(self, event: str, details: Mapping[str, Any]) -> None:
        """Write an event.

        Args:
            event: the event.
            details: which job it is about.
        """
        job = details["job"]
        told = {"at": time.time(), "event": event, "job": job.uuid, "name": job.name}
        self._out.line({**told, "conductor": details["conductor"].name})


@contextmanager
def showing(conductor: Conductor, out: Output) -> Iterator[Tally]:
    """Show what a conductor does while it runs.

    Args:
        conductor: the conductor.
        out: the voice of the command.

    Yields:
        The tally.
    """
    tally = Tally(conductor.name)
    conductor.notifier.register("*", tally.hear)
    if out.live:
        with Live(tally, console=out.console, refresh_per_second=_REFRESH, transient=True):
            yield tally
        out.console.print(tally)
        return
    conductor.notifier.register("*", Lines(out).hear)
    yield tally
