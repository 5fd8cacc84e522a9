"""Shared by the parts of `demo.py`: a temporary directory, output, and checks of ports and states."""

from __future__ import annotations

import http.client
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from examples.website_deployment import Deployment, http_get
from stackl_flow import engines
from stackl_flow.cli.tables import flow_panel, state_text
from stackl_flow.control import diagrams, flows
from stackl_flow.control.views import FlowView
from stackl_flow.diagrams import render
from stackl_flow.engines.base import Engine
from stackl_flow.persistence.base import Backend


class Demo:
    """A demonstration: its directory, its output, and the claims that turned out to be false.

    Args:
        root: the folder for temporary files.
        shown: the folder for the pictures.
        backend: where the flows are stored.
        console: where to print.
    """

    def __init__(self, root: Path, shown: Path, backend: Backend, console: Console) -> None:
        self.root = root
        self.shown = shown
        self.backend = backend
        self.console = console
        self.wrong: list[str] = []

    def title(self, text: str) -> None:
        """Print the title of a part."""
        self.console.print()
        self.console.print(Text(text, style="bold underline"))

    def say(self, text: str, style: str = "") -> None:
        """Print a line."""
        self.console.print(Text(f"  {text}", style), soft_wrap=True)

    def check(self, claim: str, holds: bool) -> None:
        """Print a claim and whether it is true."""
        label = Text("  ok     " if holds else "  WRONG  ", "green" if holds else "bold red")
        self.console.print(label.append(claim, "default"), soft_wrap=True)
        if not holds:
            self.wrong.append(claim)

    def deployment(self, site: str) -> Deployment:
        """Return the deployment of a site."""
        return Deployment(str(self.root), site)

    def load(self, factory: str, *, quiet: bool = False, **store: Any) -> Engine:
        """Load a flow, and print its transitions unless `quiet`."""
        store["root"] = str(self.root)
        engine = engines.load_from_factory(factory, store=store, backend=self.backend)
        return engine if quiet else self.watched(engine)

    def watched(self, engine: Engine) -> Engine:
        """Print the transitions of an engine's atoms."""
        begin = time.monotonic()

        def on_transition(state: str, details: Mapping[str, Any]) -> None:
            name = details.get("task_name") or details["retry_name"]
            line = Text(f"  {time.monotonic() - begin:6.2f} s  {name:<20}  ")
            self.console.print(line.append_text(state_text(state)))

        engine.atom_notifier.register("*", on_transition)
        return engine

    def show(self, uuid: str, name: str) -> FlowView:
        """Print a stored flow as a table of its atoms, and draw it."""
        view = flows.get_flow(self.backend, uuid)
        self.console.print()
        self.console.print(flow_panel(view))
        diagram, problem = diagrams.stored_flow_diagram(self.backend, uuid)
        path = self.shown / f"{name}.svg"
        path.write_text(render(diagram, "svg"), encoding="utf-8")
        self.console.print()
        self.check(
            f"the flow and its states are drawn in {path}", problem is None and path.stat().st_size > 0
        )
        return view

    def actions(self, site: str) -> list[dict[str, Any]]:
        """Return the log of actions for a site, oldest first."""
        path = self.root / "actions.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [line for line in lines if line["site"] == site]

    def counts(self, site: str, verb: str) -> dict[str, int]:
        """Return how often each task was executed, or reverted, for a site."""
        return dict(Counter(line["atom"] for line in self.actions(site) if line["did"] == verb))


@contextmanager
def temporary_root() -> Iterator[Path]:
    """Create a temporary folder; at the end stop every server started in it, and remove it."""
    root = Path(tempfile.mkdtemp(prefix="stackl-flow-demo-"))
    try:
        yield root
    finally:
        for folder in (root / "sites").glob("*"):
            Deployment(str(root), folder.name).stop_server()
        shutil.rmtree(root)


def is_served(port: int, path: str, wanted: str) -> bool:
    """Return whether a page can be fetched and contains a text."""
    try:
        status, text = http_get(port, path)
    except OSError:
        return False
    return status == http.client.OK and wanted in text


def is_closed(port: int) -> bool:
    """Return whether nothing listens on a port."""
    try:
        http_get(port, "/")
    except ConnectionRefusedError:
        return True
    return False


def all_in_state(view: FlowView, state: str) -> bool:
    """Return whether a flow and all its atoms are in one state."""
    return view.flow.state == state and all(atom.state == state for atom in view.atoms)


def state_of(view: FlowView, name: str) -> str:
    """Return the state of an atom."""
    return next(atom.state for atom in view.atoms if atom.name == name)
