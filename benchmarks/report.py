"""The results table: for terminals, as plain text, as Markdown and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.rows import Row, Samples, Status

HEAD = ("benchmark", "case", "unit", "ours", "peer", "", "ratio", "target", "status")
STYLES = {Status.REACHED: "green", Status.MISSED: "bold red", Status.NONE: "dim"}
RIGHT = frozenset({"ours", "peer", "ratio"})
WHOLE = 100
"""Figures from here on are shown without decimals."""
SMALLEST = 0.05
"""Smaller ratios are shown as 1/n."""
PER_TASK = {"us": "us a task", "B": "bytes a task", "KB": "KB a task", "n": "modules", "/min": "a minute"}


def cells(row: Row) -> tuple[str, ...]:
    """Format a row.

    Returns:
        One word for each heading.
    """
    return (
        row.bench,
        row.case,
        PER_TASK.get(row.unit, row.unit),
        format_median(row.ours, row.unit),
        "-" if row.peer is None else format_median(row.peer, row.unit),
        "" if row.peer is None else row.peer.name,
        "-" if row.ratio is None else format_ratio(row.ratio),
        "-" if row.goal is None else row.goal.text(row.unit),
        row.status.value,
    )


def format_median(samples: Samples, unit: str) -> str:
    """Format a median.

    Returns:
        The words.
    """
    value = samples.scaled(unit)
    return f"{value:,.0f}" if value >= WHOLE else f"{value:.3g}"


def format_ratio(ratio: float) -> str:
    """Format a ratio.

    Returns:
        The words.
    """
    return f"{ratio:.2f}x" if ratio >= SMALLEST else f"1/{1 / ratio:,.0f}"


def show(rows: Sequence[Row], console: Console) -> None:
    """Print the table; in colour on a terminal."""
    if not console.is_terminal:
        print(plain(rows))
        return
    table = Table(title="stackl_flow and its peers (medians)")
    for head in HEAD:
        table.add_column(head, justify="right" if head in RIGHT else "left", overflow="fold")
    for row in rows:
        table.add_row(*cells(row), style=STYLES[row.status])
    console.print(table)


def plain(rows: Iterable[Row]) -> str:
    """Format the table as plain text.

    Returns:
        The lines.
    """
    lines = [HEAD, *map(cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(pad_cells(line, widths)).rstrip() for line in lines)


def pad_cells(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Pad the cells of a line; figures are right-aligned.

    Returns:
        The padded words.
    """
    pads = [str.rjust if head in RIGHT else str.ljust for head in HEAD]
    return [pad(cell, width) for pad, cell, width in zip(pads, line, widths, strict=True)]


def markdown(rows: Iterable[Row], about: dict[str, str]) -> str:
    """Format machine and table as Markdown.

    Returns:
        The text.
    """
    head = [
        "| " + " | ".join(HEAD) + " |",
        "|" + "|".join("--:" if h in RIGHT else "---" for h in HEAD) + "|",
    ]
    body = ["| " + " | ".join(cells(row)) + " |" for row in rows]
    return "\n".join([*(f"* {key}: {value}" for key, value in about.items()), "", *head, *body, ""])


def write_json(path: Path, rows: Iterable[Row], about: dict[str, str], quick: bool) -> None:
    """Write all samples."""
    document: dict[str, Any] = {"machine": about, "quick": quick, "rows": [row.to_dict() for row in rows]}
    path.write_text(json.dumps(document, indent=2) + "\n")
