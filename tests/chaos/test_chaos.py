"""Chaos on every durable board: what is promised holds, whatever happens to conductors, servers and links.

One round with a seed that stays the same, flows beside the jobs, and one with a new seed, flows in a database
of another kind. ``STACKL_FLOW_CHAOS_SEED=7`` runs a seed that failed; ``STACKL_FLOW_CHAOS_ROUNDS=20`` runs
that many new ones.
"""

import os
import random
import tempfile
from pathlib import Path

import pytest

from tests.support.chaos import Means, Round, Site, make_plan

FIXED = 1
SEED = os.environ.get("STACKL_FLOW_CHAOS_SEED")
ROUNDS = int(os.environ.get("STACKL_FLOW_CHAOS_ROUNDS", "1"))
MEANS = Means(jobs=30, span=4.0, ttl=1.5)
#: Where flows are in the rounds with new seeds.
ELSEWHERE = {
    "sqlite": "directory",
    "directory": "sqlite",
    "redis": "postgresql",
    "etcd": "sqlite",
    "zookeeper": "postgresql",
    "postgresql": "mysql",
    "mysql": "redis",
}
#: What makes a server's answer a promise.
OPTIONS = {"redis": ("--appendfsync", "always")}
FILES = {"sqlite": "sqlite:///{}/{}.db", "directory": "dir://{}/{}"}
#: Two places in one server.
TWO = {"redis": "{}?namespace={}", "etcd": "{}/{}", "zookeeper": "{}/{}"}


def build(board, flows, directory, new_server):
    """Make places for the board and the flows, with servers of their own."""
    servers = {
        kind: new_server(kind, *OPTIONS.get(kind, ()))
        for kind in dict.fromkeys([board, flows])
        if kind not in FILES
    }

    def address(kind, name):
        if kind in FILES:
            return FILES[kind].format(directory, name)
        return TWO.get(kind, "{}").format(servers[kind].url, name)

    return Site(address(board, "jobs"), address(flows, "flows"), list(servers.values()))


def hold(seed, board, flows, tmp_path, new_server):
    print(f"STACKL_FLOW_CHAOS_SEED={seed}: jobs in {board}, flows in {flows}")  # noqa: T201  a failure shows it
    directory = Path(tempfile.mkdtemp(dir=tmp_path))
    site = build(board, flows, directory, new_server)
    report = Round(make_plan(seed, MEANS._replace(servers=len(site.servers))), site, directory).run()
    assert not report.wrong, str(report)
    assert len({effect.pid for story in report.stories for effect in story.effects}) > 1


@pytest.mark.timeout(300)
@pytest.mark.parametrize("board", ELSEWHERE)
def test_flows_beside_their_jobs(board, tmp_path, new_server):
    hold(int(SEED or FIXED), board, board, tmp_path, new_server)


@pytest.mark.timeout(300 * ROUNDS)
@pytest.mark.parametrize("board", ELSEWHERE)
def test_flows_elsewhere_and_new_seeds(board, tmp_path, new_server):
    for _ in range(ROUNDS):
        hold(int(SEED or random.randrange(1_000_000)), board, ELSEWHERE[board], tmp_path, new_server)
