"""``python -m benchmarks [NAME ...]``: run benchmarks and show the table."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from benchmarks import (
    boards,
    chain,
    conducting,
    fanout,
    growth,
    imports,
    layers,
    machine,
    memory,
    mysql_chain,
    parallel_chain,
    postgresql_chain,
    report,
    resume,
    sqlite_chain,
)
from benchmarks.rows import Row, Verdict

ALL = {
    module.NAME: module
    for module in (
        chain,
        growth,
        layers,
        fanout,
        parallel_chain,
        memory,
        sqlite_chain,
        postgresql_chain,
        mysql_chain,
        resume,
        boards,
        conducting,
        imports,
    )
}


def main() -> int:
    """Run what was asked for.

    Returns:
        0, or 1 when ``--strict`` was given and a target was missed.
    """
    asked = arguments()
    about = machine.description()
    rows = list(measured(asked.names or list(ALL), asked.quick))
    report.show(rows, Console())
    if asked.quick:
        print("quick run: the sizes are too small to judge a target by")
    if asked.json is not None:
        report.write_json(asked.json, rows, about, asked.quick)
    if asked.markdown is not None:
        asked.markdown.write_text(report.markdown(rows, about))
    return int(asked.strict and any(row.verdict is Verdict.SHORT for row in rows))


def arguments() -> argparse.Namespace:
    """What the command line asks for.

    Returns:
        The parsed arguments.
    """
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Measure stackl_flow beside its peers."
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"any of: {', '.join(ALL)}; all without a name"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes: less than a minute, to see that it works"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every repetition to FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table for the docs to FILE")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a target is missed")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.names) - set(ALL)):
        parser.error(f"no benchmark named {', '.join(unknown)}; there are: {', '.join(ALL)}")
    return asked


def measured(names: list[str], quick: bool) -> Iterator[Row]:
    """Run benchmarks one after the other, saying on standard error which one is at work.

    Args:
        names: their names.
        quick: small sizes.

    Yields:
        The lines of the table.
    """
    for name in names:
        start = time.perf_counter()
        print(f"{name} ...", end=" ", flush=True, file=sys.stderr)
        yield from ALL[name].rows(quick)
        print(f"{time.perf_counter() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
