"""Draws the flows that pages show, with the command `stackl-flow graph`."""

import os
import tempfile
from pathlib import Path

from typer.testing import CliRunner

from stackl_flow.cli.app import app

#: The name of a picture, and the factory of its flow in `diagram_flows.py`.
FLOWS = {"graph": "graph", "nested": "nested"}
#: A flow that is run first, so that the picture shows its states.
RUN = {"reverted": "failing"}


def draw() -> dict[str, str]:
    """Draw all of them.

    Returns:
        SVG by the name of the picture.
    """
    found = {
        name: _command("graph", f"diagram_flows:{factory}", "--format", "svg")
        for name, factory in FLOWS.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        db = str(Path(folder) / "flows.db")
        for name, factory in RUN.items():
            _command("run", f"diagram_flows:{factory}", "--db", db, "--name", name, code=1)
            found[name] = _command("graph", name, "--db", db, "--format", "svg")
    return found


def _command(*arguments: str, code: int = 0) -> str:
    before = Path.cwd()
    os.chdir(Path(__file__).parent)  # factories are imported from the working directory
    try:
        result = CliRunner().invoke(app, list(arguments), env={"NO_COLOR": "1", "TERM": "dumb"})
    finally:
        os.chdir(before)
    if result.exit_code != code:
        raise RuntimeError(
            f"stackl-flow {' '.join(arguments)}: exit code {result.exit_code}\n{result.output}"
        )
    return str(result.stdout)
