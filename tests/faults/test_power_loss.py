"""SQLite syncs every commit of boards and flows, so that a power failure loses none that has returned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from stackl_flow.jobboards import backends as boards
from stackl_flow.kv import backends as stores
from stackl_flow.kv.items import Put
from stackl_flow.persistence import backends
from stackl_flow.submission import post_flow

#: ``PRAGMA synchronous`` says this for FULL.
FULL = 2


def use_kv(url: str) -> None:
    with stores.fetch(url) as kv:
        kv.commit(puts=[Put("a", "1")])


def use_flows(url: str) -> None:
    with backends.backend(url) as flows, flows.get_connection() as connection:
        connection.get_logbooks()


def use_board(url: str) -> None:
    with backends.backend(url) as flows, boards.backend("work", url, persistence=flows) as board:
        post_flow(board, flows, "tests.faults.factories:good", store={"record": "none", "job": 1})
        board.consume(board.claim(next(board.wait(1)), "me"), "me")


@pytest.mark.parametrize("use", [use_kv, use_flows, use_board])
@pytest.mark.parametrize(("options", "expected"), [("", FULL), ("?synchronous=NORMAL", 1)])
def test_every_connection_syncs_its_commits(use: Any, options: str, expected: int, tmp_path: Path) -> None:
    found = []

    def record(connection: Any, *_: object) -> None:
        found.append(connection.execute("PRAGMA synchronous").fetchone()[0])

    sa.event.listen(sa.pool.Pool, "checkout", record)
    try:
        use(f"sqlite:///{tmp_path}/store.db{options}")
    finally:
        sa.event.remove(sa.pool.Pool, "checkout", record)
    assert found
    assert set(found) == {expected}
