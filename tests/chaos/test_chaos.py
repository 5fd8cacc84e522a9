"""Chaos on every durable board: the guarantees hold with faults of conductors, servers and connections.

One round has a fixed seed, with flows in the store of the jobs, and one a new seed, with flows in a store of
another kind. ``STACKL_FLOW_CHAOS_SEED=7`` repeats a seed that failed; ``STACKL_FLOW_CHAOS_ROUNDS=20`` runs 20
new ones.
"""

import os
import random
import tempfile
from pathlib import Path

import pytest

from tests.support.chaos import Round, Scale, make_plan
from tests.support.chaos.targets import FLOWS_OF, make_target

FIXED = 1
SEED = os.environ.get("STACKL_FLOW_CHAOS_SEED")
ROUNDS = int(os.environ.get("STACKL_FLOW_CHAOS_ROUNDS", "1"))
SCALE = Scale(jobs=30, span=4.0, ttl=1.5)


def check_round(seed, board, flows, tmp_path, new_server):
    print(f"STACKL_FLOW_CHAOS_SEED={seed}: jobs in {board}, flows in {flows}")  # noqa: T201  shown on failure
    directory = Path(tempfile.mkdtemp(dir=tmp_path))
    target = make_target(board, flows, directory, new_server)
    report = Round(make_plan(seed, SCALE._replace(servers=len(target.servers))), target, directory).run()
    assert not report.violations, str(report)
    assert len({effect.pid for trace in report.traces for effect in trace.effects}) > 1


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("board", FLOWS_OF)
def test_flows_in_the_store_of_the_jobs(board, tmp_path, new_server):
    check_round(int(SEED or FIXED), board, board, tmp_path, new_server)


@pytest.mark.slow
@pytest.mark.timeout(600 * ROUNDS)
@pytest.mark.parametrize("board", FLOWS_OF)
def test_flows_in_another_store_with_new_seeds(board, tmp_path, new_server):
    for _ in range(ROUNDS):
        check_round(int(SEED or random.randrange(1_000_000)), board, FLOWS_OF[board], tmp_path, new_server)
