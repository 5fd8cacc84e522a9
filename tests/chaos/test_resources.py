"""Growth of processes is found, and only growth."""

import os

import pytest

from tests.support.chaos.resources import Growth, Resources, Sample, find_growth

MB = 1024 * 1024


def samples(memory=lambda n: 100 * MB, files=lambda n: 10, threads=lambda n: 5, count=40):
    return [Sample(memory(n), files(n), threads(n)) for n in range(count)]


@pytest.mark.parametrize(
    ("taken", "word"),
    [
        (samples(memory=lambda n: (100 + 3 * n) * MB), "MB"),
        (samples(files=lambda n: 10 + 2 * n), "open files"),
        (samples(threads=lambda n: 5 + n), "threads"),
    ],
)
def test_a_process_that_grows_is_found(taken, word):
    (line,) = find_growth(taken, Growth())
    assert word in line


@pytest.mark.parametrize(
    "taken",
    [
        samples(),
        samples(memory=lambda n: min(100 + 20 * n, 200) * MB),  # its warm-up
        samples(memory=lambda n: (100 + 90 * (n % 2)) * MB),  # back and forth
        samples(files=lambda n: 10 + n, count=8),  # too few to say
    ],
)
def test_a_process_that_does_not_grow_is_not_found(taken):
    assert not list(find_growth(taken, Growth()))


def test_this_process_is_sampled():
    resources = Resources(interval=0.0)
    resources.sample("me", os.getpid())
    assert "MB" in resources.summary()
    resources.sample("nothing", 2**22 + 1)  # no such process
    assert not list(resources.growth())
