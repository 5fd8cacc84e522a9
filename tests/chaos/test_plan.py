"""A plan is determined by its seed and has all kinds of faults."""

import pytest

from tests.support.chaos import Scale, make_plan
from tests.support.chaos.plan import CONDUCTORS, CONNECTIONS, SERVERS, FaultKind


def test_the_same_seed_gives_the_same_plan():
    scale = Scale(servers=2)
    assert make_plan(7, scale) == make_plan(7, scale)
    assert make_plan(7, scale) != make_plan(8, scale)


@pytest.mark.parametrize("seed", range(20))
def test_all_kinds_of_faults_occur(seed):
    plan = make_plan(seed, Scale(servers=1, span=8.0))
    assert {fault.kind for fault in plan.faults} == set(FaultKind)
    assert sorted(plan.faults, key=lambda fault: fault.at) == list(plan.faults)
    assert {job.number for job in plan.jobs} == set(range(40))


def test_without_servers_only_conductors_are_disturbed():
    plan = make_plan(1, Scale(servers=0))
    assert {fault.kind for fault in plan.faults} == set(CONDUCTORS)
    assert set(FaultKind) == {*CONDUCTORS, *SERVERS, *CONNECTIONS}
