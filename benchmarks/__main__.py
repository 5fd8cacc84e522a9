"""``python -m benchmarks [NAME ...]``: run benchmarks and print the results."""

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
    conductors,
    fanout,
    growth,
    idle,
    imports,
    large_input,
    layers,
    listing,
    machine,
    memory,
    mysql_chain,
    parallel_chain,
    postgresql_chain,
    posting,
    report,
    resume,
    sqlite_chain,
)
from benchmarks.rows import Row, Status

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
        large_input,
        resume,
        boards,
        listing,
        conductors,
        posting,
        idle,
        imports,
    )
}


def main() -> int:
    """Run the selected benchmarks; return 1 if ``--strict`` is given and a target is missed."""
    options = parse_arguments()
    about = machine.description()
    rows = list(run(options.names or list(ALL), options.quick))
    report.show(rows, Console())
    if options.quick:
        print("quick run: sizes are too small to compare with targets")
    if options.json is not None:
        report.write_json(options.json, rows, about, options.quick)
    if options.markdown is not None:
        options.markdown.write_text(report.markdown(rows, about))
    return int(options.strict and any(row.status is Status.MISSED for row in rows))


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure stackl_flow and its peers.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"benchmarks to run (default: all): {', '.join(ALL)}"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, about two minutes: shows that all benchmarks work"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples to FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table as Markdown to FILE")
    parser.add_argument("--strict", action="store_true", help="exit with status 1 if a target is missed")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(ALL)):
        parser.error(f"unknown benchmark {', '.join(unknown)}; choose from {', '.join(ALL)}")
    return options


def run(names: list[str], quick: bool) -> Iterator[Row]:
    """Run benchmarks one after the other, with their names and times on standard error."""
    for name in names:
        start = time.perf_counter()
        print(f"{name} ...", end=" ", flush=True, file=sys.stderr)
        yield from ALL[name].rows(quick)
        print(f"{time.perf_counter() - start:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
