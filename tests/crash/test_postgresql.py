"""Killed at points all along the way, a flow in PostgreSQL ends as it ends when nobody kills it."""

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
from tests.crash.driver import AT_WORK, Place, drive_in_child
from tests.crash.scenarios import BY_NAME
from tests.crash.test_kill import check

STEP = 4


class ServerPlace(Place):
    """A schema of its own, and a directory with the ledger."""

    def __init__(self, directory: Path, server: str, schema: str) -> None:
        directory.mkdir()
        super().__init__(directory)
        self.address = f"{server}?options=-csearch_path%3D{schema}"
        self.connect = {"conninfo": server, "options": f"-csearch_path={schema}"}

    @property
    def url(self) -> str:
        return self.address

    def states(self) -> dict[str, str]:
        with psycopg.connect(**self.connect) as server:
            atoms = dict(server.execute("SELECT name, state FROM atomdetails").fetchall())
            return {**atoms, **dict(server.execute("SELECT '', state FROM flowdetails").fetchall())}


@pytest.fixture
def make_place(postgresql_url: str, tmp_path: Path) -> Iterator[Callable[[str], ServerPlace]]:
    made: list[sql.Identifier] = []
    with psycopg.connect(postgresql_url, autocommit=True) as server:

        def make(name: str) -> ServerPlace:
            schema = f"crash_{uuid.uuid4().hex}"
            made.append(sql.Identifier(schema))
            server.execute(sql.SQL("CREATE SCHEMA {}").format(made[-1]))
            place = ServerPlace(tmp_path / name, postgresql_url, schema)

            def upgrade() -> None:
                with backends.backend(place.url):
                    pass

            assert in_child(upgrade) == 0
            return place

        yield make
        for schema in made:
            server.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(schema))


@pytest.mark.parametrize("name", ["linear", "reverted", "parallel_retried"])
def test_killed_along_the_way(name: str, make_place: Callable[[str], ServerPlace]) -> None:
    scenario = BY_NAME[name]
    whole = make_place("whole")
    assert drive_in_child(scenario, whole) == 0
    assert whole.states()[""] == scenario.ends
    killed = 0
    for at in range(1, int(whole.counted.read_text()) + 1, STEP):
        place = make_place(f"at{at}")
        ended = drive_in_child(scenario, place, at)
        killed += ended == -signal.SIGKILL
        # On threads, more may come back together this time, so that fewer writes are needed.
        assert ended == -signal.SIGKILL or (ended == 0 and scenario.engine == "parallel")
        left = place.states()
        assert drive_in_child(scenario, place) == 0
        check(place, whole, {name for name, state in left.items() if state in AT_WORK})
    assert killed > 1
