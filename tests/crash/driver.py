"""Runs a scenario in a child process on a SQLite file, and reads afterwards what is left of it."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sqlite3
from collections import defaultdict
from pathlib import Path
from typing import Any

from stackl_flow import engines
from stackl_flow.engines import engine as _engine  # noqa: F401  imported once here, and not in every child
from stackl_flow.exceptions import WrappedFailure
from stackl_flow.persistence import backends, factory
from stackl_flow.persistence.backends import sql  # noqa: F401  the same
from stackl_flow.testing.crash import CrashBackend, Ledger, in_child
from tests.crash.scenarios import Boom, Scenario
from tests.support.random_flows import FlowBoom

#: States of a flow that has come to its end.
ENDS = {"SUCCESS", "REVERTED", "REVERT_FAILURE"}
#: States of an atom that was at work when its process died.
AT_WORK = {"RUNNING", "REVERTING", "RETRYING"}


class Place:
    """A directory with the database and the ledger of one run."""

    def __init__(self, directory: Path, template: Path | None = None) -> None:
        self.database = directory / "flow.db"
        self.ledger = Ledger(directory / "ledger")
        self.counted = directory / "points"
        if template is not None:
            directory.mkdir()
            shutil.copy(template, self.database)

    @property
    def url(self) -> str:
        return f"sqlite:///{self.database}"

    def states(self) -> dict[str, str]:
        """Return the state of every atom stored, and of the flow under the empty name."""
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            atoms = dict(connection.execute("SELECT name, state FROM atomdetails"))
            return {**atoms, **dict(connection.execute("SELECT '', state FROM flowdetails"))}

    def epoch(self) -> int:
        """Return how often the flow has been taken over; 0 when none is stored."""
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            return sum(epoch for (epoch,) in connection.execute("SELECT epoch FROM flowdetails"))

    def rows(self) -> dict[str, list[Any]]:
        """Return every row of every table."""
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            return {
                table: sorted(connection.execute(f"SELECT * FROM {table}"), key=repr)  # noqa: S608 - ours
                for table in ("logbooks", "flowdetails", "atomdetails", "transitions")
            }

    def history(self) -> list[tuple[str, str, str]]:
        """Return the moves stored, oldest first, as (atom or "", old, new)."""
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            moves = "SELECT coalesce(atom, ''), old_state, new_state FROM transitions ORDER BY flow_uuid, seq"
            return list(connection.execute(moves))

    def done(self) -> dict[str, list[str]]:
        """Return the ledger's lines by atom."""
        lines: dict[str, list[str]] = defaultdict(list)
        for line in self.ledger.lines():
            name, what = line.split(" execute", 1) if " execute" in line else line.split(" revert", 1)
            lines[name].append(("execute" if " execute" in line else "revert") + what)
        return dict(lines)


def make_template(path: Path) -> Path:
    """Make an empty database of the newest schema, in a child: no connection may be open when we fork."""

    def work() -> None:
        with backends.fetch(f"sqlite:///{path}") as backend, backend.get_connection() as connection:
            connection.upgrade()

    assert in_child(work) == 0
    return path


def load(scenario: Scenario, place: Place, backend: Any) -> Any:
    """Load the scenario's engine: for the flow that is stored, or for a new one when none is."""
    flow = scenario.make(place.ledger)
    with backend.get_connection() as connection:
        stored = [(book, detail) for book in connection.get_logbooks() for detail in book]
        if stored:
            book, detail = stored[0]
        else:
            book = factory.temporary_log_book(backend)
            detail = factory.create_flow_detail(flow, book, backend)
    options = {"max_workers": 3} if scenario.engine == "parallel" else {}
    return engines.load(
        flow,
        store=dict(scenario.store),
        flow_detail=detail,
        book=book,
        backend=backend,
        engine=scenario.engine,
        **options,
    )


def drive(
    scenario: Scenario, place: Place, at: int | None = 0, sign: signal.Signals = signal.SIGKILL
) -> None:
    """Run the scenario's flow, from where it stands, in this process; be signalled at write point `at`."""
    backend = CrashBackend(backends.fetch(place.url), at, sign)
    engine = load(scenario, place, backend)
    if engine.storage.get_flow_state() in ENDS:
        return  # run again, a flow that was undone would begin anew
    with contextlib.suppress(Boom, FlowBoom, WrappedFailure):
        engine.run()
    place.counted.write_text(str(backend.points))


def drive_in_child(scenario: Scenario, place: Place, at: int = 0) -> int:
    """Do `drive` in a child and return how it ended."""
    return in_child(lambda: drive(scenario, place, at))
