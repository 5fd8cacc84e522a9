"""What every part of `demo.py` needs: a place to work in, a voice, and questions to the world outside."""

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

from examples.website_place import Place, ask
from stackl_flow import engines
from stackl_flow.cli.tables import flow_panel, state_text
from stackl_flow.control import flows, pictures
from stackl_flow.control.views import FlowView
from stackl_flow.engines.base import Engine
from stackl_flow.persistence.base import Backend


class Stage:
    """Where one demonstration works, what it prints on, and what turned out wrong.

    Args:
        root: the folder in which all is made.
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
        """Begin a part of the demonstration."""
        self.console.print()
        self.console.print(Text(text, style="bold underline"))

    def say(self, text: str, style: str = "") -> None:
        """Print a line."""
        self.console.print(Text(f"  {text}", style), soft_wrap=True)

    def check(self, claim: str, holds: bool) -> None:
        """Print a claim and whether it holds."""
        word = Text("  ok     " if holds else "  WRONG  ", "green" if holds else "bold red")
        self.console.print(word.append(claim, "default"), soft_wrap=True)
        if not holds:
            self.wrong.append(claim)

    def place(self, site: str) -> Place:
        """Where a site's things are."""
        return Place(str(self.root), site)

    def load(self, factory: str, *, quiet: bool = False, **store: Any) -> Engine:
        """Load a flow for a new run whose moves are printed, unless it is to be quiet."""
        store["root"] = str(self.root)
        engine = engines.load_from_factory(factory, store=store, backend=self.backend)
        return engine if quiet else self.watched(engine)

    def watched(self, engine: Engine) -> Engine:
        """Print the moves of an engine's atoms while they happen."""
        begin = time.monotonic()

        def told(state: str, details: Mapping[str, Any]) -> None:
            name = details.get("task_name") or details["retry_name"]
            line = Text(f"  {time.monotonic() - begin:6.2f} s  {name:<20}  ")
            self.console.print(line.append_text(state_text(state)))

        engine.atom_notifier.register("*", told)
        return engine

    def show(self, uuid: str, name: str) -> FlowView:
        """Print a stored flow as a table of its atoms, and write its picture."""
        view = flows.show(self.backend, uuid)
        self.console.print()
        self.console.print(flow_panel(view))
        drawing, problem = pictures.stored_picture(self.backend, uuid)
        path = self.shown / f"{name}.svg"
        path.write_text(pictures.draw(drawing, "svg"), encoding="utf-8")
        self.console.print()
        self.check(
            f"the flow with its states is drawn in {path}", problem is None and path.stat().st_size > 0
        )
        return view

    def ledger(self, site: str) -> list[dict[str, Any]]:
        """What was really done for a site, in order."""
        path = self.root / "ledger.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [line for line in lines if line["site"] == site]

    def times(self, site: str, verb: str) -> dict[str, int]:
        """How often each task was really executed, or reverted, for a site."""
        return dict(Counter(line["atom"] for line in self.ledger(site) if line["did"] == verb))


@contextmanager
def workshop() -> Iterator[Path]:
    """Lend a folder; at the end every server that was started in it has ended, and the folder is gone."""
    root = Path(tempfile.mkdtemp(prefix="stackl-flow-demo-"))
    try:
        yield root
    finally:
        for folder in (root / "sites").glob("*"):
            Place(str(root), folder.name).stop_server()
        shutil.rmtree(root)


def serves(port: int, path: str, wanted: str) -> bool:
    """Tell whether a page can be fetched and has a text in it."""
    try:
        status, text = ask(port, path)
    except OSError:
        return False
    return status == http.client.OK and wanted in text


def closed(port: int) -> bool:
    """Tell whether nobody listens on a port."""
    try:
        ask(port, "/")
    except ConnectionRefusedError:
        return True
    return False


def all_are(view: FlowView, state: str) -> bool:
    """Tell whether a flow and all its atoms are in one state."""
    return view.flow.state == state and all(atom.state == state for atom in view.atoms)


def state_of(view: FlowView, name: str) -> str:
    """The state of one atom."""
    return next(atom.state for atom in view.atoms if atom.name == name)
