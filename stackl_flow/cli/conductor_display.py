"""What a user sees of a conductor: a live table on a terminal, one line of JSON per event in a pipe."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Column, Table
from rich.text import Text

from stackl_flow.cli.output import Output
from stackl_flow.cli.tables import duration_text
from stackl_flow.conductors.conductor import Conductor
from stackl_flow.control.health import ConductorStats

_STYLES = {"consumed": "green", "trashed": "red", "abandoned": "yellow", "released": "yellow", "lost": "red"}


class ConductorDisplay:
    """The running and recent jobs of a conductor; redrawn whenever the screen is refreshed."""

    def __init__(self, name: str, stats: ConductorStats) -> None:
        self._name = name
        self._stats = stats

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the display."""
        now = time.monotonic()
        running, recent = self._stats.snapshot()
        table = Table.grid(Column(), Column(no_wrap=True), Column(no_wrap=True), padding=(0, 2))
        for finished in recent:
            disposition = Text(finished.disposition, style=_STYLES[finished.disposition])
            table.add_row(
                Text(f"  {finished.name}", style="dim"), disposition, duration_text(finished.seconds)
            )
        for job in running[: max(4, options.size.height - len(recent) - 3)]:
            table.add_row(
                Text(f"> {job.name}"), Text(job.stage, style="cyan"), duration_text(now - job.started)
            )
        counts = ", ".join(
            f"{count} {disposition}" for disposition, count in self._stats.dispositions.items()
        )
        head = Text.assemble((self._name, "bold"), f"  {len(running)} running, {counts or 'no jobs yet'}  ")
        head.append(duration_text(self._stats.uptime), style="dim")
        yield Group(head, table)


@contextmanager
def show_conductor(conductor: Conductor, out: Output) -> Iterator[ConductorStats]:
    """Show the jobs of a conductor while it runs, and count them."""
    stats = ConductorStats()
    conductor.notifier.register("*", stats.record)
    if out.is_live:
        display = ConductorDisplay(conductor.name, stats)
        with out.live_display(display):
            yield stats
        out.console.print(display)
        return

    def write_line(event: str, details: Mapping[str, Any]) -> None:
        job = details["job"]
        line = {"at": time.time(), "event": event, "job": job.uuid, "name": job.name}
        out.json_line({**line, "conductor": conductor.name})

    conductor.notifier.register("*", write_line)
    yield stats
