"""Makes docs/taskflow-conformance.md: what the wheel's tests come to, here and on TaskFlow itself.

python -m tests.compat.table             # runs the tests against us and writes the page
python -m tests.compat.table --measure   # runs them on TaskFlow itself, too (some minutes), and notes it
"""
# ruff: noqa: T201  this is a command: it prints

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tests.compat import suite, wheel

PAGE = suite.ROOT / "docs" / "taskflow-conformance.md"
THEIRS = Path(__file__).with_name("theirs.json")

#: The line with seconds, which differ from run to run, begins so.
TIME = "Time: "

HEAD = """\
# TaskFlow's own tests, run against us

<!-- made by: python -m tests.compat.table -->

The unit tests inside the wheel of TaskFlow {version}, run by `tests/compat`. Only `taskflow.test` and
`taskflow.tests` are loaded from the wheel; all else is served by `stackl_flow.compat`, and the run fails when
any other file of the wheel is opened. "On TaskFlow" is how many tests pass on TaskFlow itself on the same
machine; those that it skips there (no eventlet, no server) are skipped here as well.

| module | on TaskFlow | passed here | skipped | left out |
|---|---:|---:|---:|---:|
"""

LEFT_OUT = """
## What is left out, and why

The list is `tests/compat/left_out.py`; a test in it that passes, or that is not there, fails the run.

| module | test | reason |
|---|---|---|
"""

ROOMS = """
Whole modules wait for their rooms:

| module | reason |
|---|---|
"""


def theirs() -> dict[str, dict[str, float]]:
    """Read what the tests come to on TaskFlow itself, as it was last measured."""
    return json.loads(THEIRS.read_text())


def measure(groups: list[str]) -> None:
    """Run the tests, or some groups of them, on TaskFlow itself and note what they come to."""
    noted = {module: found for module, found in theirs().items() if groups and module != "version"}
    for group in groups or suite.GROUPS:
        done = suite.of_group(group, "theirs")
        for module, verdicts in done.modules.items():
            outcomes = [verdict["outcome"] for verdict in verdicts.values()]
            seconds = sum(verdict["seconds"] for verdict in verdicts.values())
            counts = {word: outcomes.count(word) for word in ("passed", "skipped", "failed")}
            noted[module] = {**counts, "seconds": round(seconds, 1)}
    text = json.dumps({"version": wheel.version(), **dict(sorted(noted.items()))}, indent=1)
    THEIRS.write_text(f"{text}\n")


def seconds() -> tuple[float, float]:
    """Return how long the tests took here and on TaskFlow."""
    here = sum(
        verdict["seconds"]
        for group in suite.GROUPS
        for verdicts in suite.of_group(group).modules.values()
        for verdict in verdicts.values()
    )
    there = sum(noted["seconds"] for module, noted in theirs().items() if module != "version")
    return here, there


def page() -> str:
    """Write the page out of a run."""
    tallies = [suite.tally(module) for module in suite.modules()]
    known = theirs()
    lines = [HEAD.format(version=wheel.version())]
    total = [0, 0, 0, 0]
    for came in tallies:
        row = [known[came.module]["passed"], len(came.passed), len(came.skipped), len(came.left_out)]
        total = [a + int(b) for a, b in zip(total, row, strict=True)]
        lines.append(f"| {came.module} | {' | '.join(map(str, row))} |\n")
    lines.append(f"| **all** | {' | '.join(f'**{count}**' for count in total)} |\n")
    here, there = seconds()
    lines.append(f"\n{TIME}the tests took {here:.0f} s here and {there:.0f} s on TaskFlow.\n")
    if any(came.left_out for came in tallies):
        lines.append(LEFT_OUT)
        lines += [f"| {module} | {name} | {reason} |\n" for (module, name), reason in suite.LEFT_OUT.items()]
    lines.append(ROOMS)
    lines += [f"| {module} | {reason} |\n" for module, reason in suite.LATER.items()]
    return "".join(lines)


def lasting(text: str) -> list[str]:
    """Return the lines of a page that do not differ from run to run."""
    return [line for line in text.splitlines() if not line.startswith(TIME)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Write docs/taskflow-conformance.md.")
    parser.add_argument(
        "--measure",
        nargs="*",
        metavar="GROUP",
        choices=list(suite.GROUPS),
        help="run the tests, or groups of them, on TaskFlow itself as well",
    )
    groups = parser.parse_args().measure
    if groups is not None:
        measure(groups)
    text = page()
    PAGE.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
