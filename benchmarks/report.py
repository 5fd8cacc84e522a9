"""The table of ratios: rich on a terminal, plain in a pipe, Markdown for the docs, JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.rows import Row, Samples, Verdict

HEAD = ("benchmark", "case", "unit", "ours", "peer", "", "ratio", "target", "verdict")
STYLES = {Verdict.REACHED: "green", Verdict.SHORT: "bold red", Verdict.NONE: "dim"}
RIGHT = frozenset({"ours", "peer", "ratio"})
WHOLE = 100
"""From here on a figure needs no decimals."""
SMALLEST = 0.05
"""Below this a ratio is told the other way round."""
PER_TASK = {"us": "us a task", "B": "bytes a task", "ms": "ms", "n": "modules"}


def cells(row: Row) -> tuple[str, ...]:
    """A row as the words of the table.

    Args:
        row: the row.

    Returns:
        One word for each heading.
    """
    return (
        row.bench,
        row.case,
        PER_TASK.get(row.unit, row.unit),
        figure(row.ours, row.unit),
        "-" if row.peer is None else figure(row.peer, row.unit),
        "" if row.peer is None else row.peer.name,
        "-" if row.ratio is None else ratio_words(row.ratio),
        "-" if row.goal is None else row.goal.text(row.unit),
        row.verdict.value,
    )


def figure(samples: Samples, unit: str) -> str:
    """A median in three digits or so.

    Args:
        samples: the repetitions.
        unit: the unit of the row.

    Returns:
        The words.
    """
    value = samples.scaled(unit)
    return f"{value:,.0f}" if value >= WHOLE else f"{value:.3g}"


def ratio_words(ratio: float) -> str:
    """A ratio, with how many times faster where that reads better.

    Args:
        ratio: ours over the peer's.

    Returns:
        The words.
    """
    return f"{ratio:.2f}x" if ratio >= SMALLEST else f"1/{1 / ratio:,.0f}"


def show(rows: Sequence[Row], console: Console) -> None:
    """Print the table.

    Args:
        rows: its rows.
        console: where to; a terminal gets colours, anything else plain columns.
    """
    if not console.is_terminal:
        print(plain(rows))
        return
    table = Table(title="stackl_flow beside its peers (medians)")
    for head in HEAD:
        table.add_column(head, justify="right" if head in RIGHT else "left", overflow="fold")
    for row in rows:
        table.add_row(*cells(row), style=STYLES[row.verdict])
    console.print(table)


def plain(rows: Iterable[Row]) -> str:
    """The table in columns of plain text.

    Args:
        rows: its rows.

    Returns:
        The lines.
    """
    lines = [HEAD, *map(cells, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(aligned(line, widths)).rstrip() for line in lines)


def aligned(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Pad the words of a line, figures to the right.

    Args:
        line: the words.
        widths: the width of each column.

    Returns:
        The padded words.
    """
    pads = [str.rjust if head in RIGHT else str.ljust for head in HEAD]
    return [pad(word, width) for pad, word, width in zip(pads, line, widths, strict=True)]


def markdown(rows: Iterable[Row], about: dict[str, str]) -> str:
    """The table and the machine as Markdown.

    Args:
        rows: the rows.
        about: what they were measured on.

    Returns:
        The text.
    """
    head = [
        "| " + " | ".join(HEAD) + " |",
        "|" + "|".join("--:" if h in RIGHT else "---" for h in HEAD) + "|",
    ]
    body = ["| " + " | ".join(cells(row)) + " |" for row in rows]
    return "\n".join([*(f"* {key}: {words}" for key, words in about.items()), "", *head, *body, ""])


def write_json(path: Path, rows: Iterable[Row], about: dict[str, str], quick: bool) -> None:
    """Write everything that was measured, every repetition of it.

    Args:
        path: the file.
        rows: the rows.
        about: what they were measured on.
        quick: whether the sizes were small.
    """
    document: dict[str, Any] = {"machine": about, "quick": quick, "rows": [row.to_dict() for row in rows]}
    path.write_text(json.dumps(document, indent=2) + "\n")
