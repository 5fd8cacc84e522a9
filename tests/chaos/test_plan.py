"""A plan follows from its seed, and holds a bit of everything."""

import pytest

from tests.support.chaos import Means, make_plan
from tests.support.chaos.plan import CONDUCTORS, LINKS, SERVERS, What


def test_the_same_seed_gives_the_same_plan():
    means = Means(servers=2)
    assert make_plan(7, means) == make_plan(7, means)
    assert make_plan(7, means) != make_plan(8, means)


@pytest.mark.parametrize("seed", range(20))
def test_all_that_can_be_done_is_done(seed):
    plan = make_plan(seed, Means(servers=1, span=8.0))
    assert {deed.what for deed in plan.deeds} == set(What)
    assert sorted(plan.deeds, key=lambda deed: deed.at) == list(plan.deeds)
    assert {job.number for job in plan.jobs} == set(range(40))


def test_without_servers_only_conductors_are_disturbed():
    plan = make_plan(1, Means(servers=0))
    assert {deed.what for deed in plan.deeds} == set(CONDUCTORS)
    assert set(What) == {*CONDUCTORS, *SERVERS, *LINKS}
