"""Runs a scenario in a child process on a SQLite file and reads what remains."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sqlite3
from collections import defaultdict
from pathlib import Path
from typing import Any

from stackl_flow import engines
from stackl_flow.engines import engine as _engine  # noqa: F401  imported once, not in each child
from stackl_flow.exceptions import WrappedFailure
from stackl_flow.persistence import backends, factory
from stackl_flow.persistence.backends import sql  # noqa: F401  the same
from stackl_flow.testing.crash import CrashBackend, EffectLog, in_child
from tests.crash.scenarios import Scenario, StepFailed
from tests.support.random_flows import PlannedError

#: Final states of a flow.
FINAL = {"SUCCESS", "REVERTED", "REVERT_FAILURE"}
#: States of an atom that was running when its process was killed.
AT_WORK = {"RUNNING", "REVERTING", "RETRYING"}


class Run:
    """The directory of one run, with its database and effect log."""

    def __init__(self, directory: Path, template: Path | None = None) -> None:
        self.database = directory / "flow.db"
        self.effects = EffectLog(directory / "effects")
        self.counted = directory / "points"
        if template is not None:
            directory.mkdir()
            shutil.copy(template, self.database)

    @property
    def url(self) -> str:
        return f"sqlite:///{self.database}"

    def states(self) -> dict[str, str]:
        """Return the state of each stored atom, and of the flow by the empty name."""
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            atoms = dict(connection.execute("SELECT name, state FROM atomdetails"))
            return {**atoms, **dict(connection.execute("SELECT '', state FROM flowdetails"))}

    def epoch(self) -> int:
        """Return the epoch of the flow; 0 if none is stored."""
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            return sum(epoch for (epoch,) in connection.execute("SELECT epoch FROM flowdetails"))

    def rows(self) -> dict[str, list[Any]]:
        """Return all rows of all tables."""
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            return {
                table: sorted(connection.execute(f"SELECT * FROM {table}"), key=repr)  # noqa: S608 - ours
                for table in ("logbooks", "flowdetails", "atomdetails", "transitions")
            }

    def history(self) -> list[tuple[str, str, str]]:
        """Return the transitions, oldest first, as (atom or "", old, new)."""
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            query = "SELECT coalesce(atom, ''), old_state, new_state FROM transitions ORDER BY flow_uuid, seq"
            return list(connection.execute(query))

    def done(self) -> dict[str, list[str]]:
        """Return the lines of the effect log by atom."""
        lines: dict[str, list[str]] = defaultdict(list)
        for line in self.effects.lines():
            name, what = line.split(" execute", 1) if " execute" in line else line.split(" revert", 1)
            lines[name].append(("execute" if " execute" in line else "revert") + what)
        return dict(lines)


def make_template(path: Path) -> Path:
    """Create an empty database, in a child: no connection may be open at a fork."""

    def work() -> None:
        with backends.fetch(f"sqlite:///{path}") as backend, backend.get_connection() as connection:
            connection.upgrade()

    assert in_child(work) == 0
    # Children inherit what this imports and compiles; it leaves no connection open.
    with backends.fetch(f"sqlite:///{path}") as backend, backend.get_connection() as connection:
        connection.validate()
    return path


def load(scenario: Scenario, run: Run, backend: Any) -> Any:
    """Load the engine of a scenario, for the stored flow if there is one."""
    flow = scenario.make(run.effects)
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


def drive(scenario: Scenario, run: Run, at: int | None = 0, signum: signal.Signals = signal.SIGKILL) -> None:
    """Run or resume the flow of a scenario in this process, which gets a signal at write point `at`."""
    backend = CrashBackend(backends.fetch(run.url), at, signum)
    engine = load(scenario, run, backend)
    if engine.storage.get_flow_state() in FINAL:
        return  # a reverted flow would start again
    with contextlib.suppress(StepFailed, PlannedError, WrappedFailure):
        engine.run()
    run.counted.write_text(str(backend.points))


def drive_in_child(scenario: Scenario, run: Run, at: int = 0) -> int:
    """Call `drive` in a child and return its exit status."""
    return in_child(lambda: drive(scenario, run, at))
