"""Killed and resumed, a flow in PostgreSQL ends as without a crash."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from stackl_flow.persistence import backends
from stackl_flow.testing.crash import in_child
from tests.crash.driver import AT_WORK, Run, drive_in_child
from tests.crash.scenarios import BY_NAME
from tests.crash.test_kill import check

STEP = 4


class ServerRun(Run):
    """A run in its own schema."""

    def __init__(self, directory: Path, server: str, schema: str) -> None:
        directory.mkdir()
        super().__init__(directory)
        self.server_url = f"{server}?options=-csearch_path%3D{schema}"
        self.connect = {"conninfo": server, "options": f"-csearch_path={schema}"}

    @property
    def url(self) -> str:
        return self.server_url

    def states(self) -> dict[str, str]:
        with psycopg.connect(**self.connect) as server:
            atoms = dict(server.execute("SELECT name, state FROM atomdetails").fetchall())
            return {**atoms, **dict(server.execute("SELECT '', state FROM flowdetails").fetchall())}


@pytest.fixture
def make_run(postgresql_url: str, tmp_path: Path) -> Iterator[Callable[[str], ServerRun]]:
    made: list[sql.Identifier] = []
    with psycopg.connect(postgresql_url, autocommit=True) as server:

        def make(name: str) -> ServerRun:
            schema = f"crash_{uuid.uuid4().hex}"
            made.append(sql.Identifier(schema))
            server.execute(sql.SQL("CREATE SCHEMA {}").format(made[-1]))
            run = ServerRun(tmp_path / name, postgresql_url, schema)

            def upgrade() -> None:
                with backends.backend(run.url):
                    pass

            assert in_child(upgrade) == 0
            return run

        yield make
        for schema in made:
            server.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(schema))


@pytest.mark.parametrize("name", ["linear", "reverted", "parallel_retried"])
def test_killed_at_write_points(name: str, make_run: Callable[[str], ServerRun]) -> None:
    scenario = BY_NAME[name]
    whole = make_run("whole")
    assert drive_in_child(scenario, whole) == 0
    assert whole.states()[""] == scenario.ends
    killed = 0
    for at in range(1, int(whole.counted.read_text()) + 1, STEP):
        run = make_run(f"at{at}")
        ended = drive_in_child(scenario, run, at)
        killed += ended == -signal.SIGKILL
        # On threads more tasks may finish at the same time, so that there are fewer writes.
        assert ended == -signal.SIGKILL or (ended == 0 and scenario.engine == "parallel")
        states_left = run.states()
        assert drive_in_child(scenario, run) == 0
        check(run, whole, {name for name, state in states_left.items() if state in AT_WORK})
    assert killed > 1
