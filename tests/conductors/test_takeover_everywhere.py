"""On every durable board the job of a conductor that is gone runs elsewhere in a lease and a second."""

import math
import signal
import time
import uuid

import pytest

from tests.conductors.conftest import Office
from tests.conductors.test_takeover import eventually

#: Seconds. A busy machine may be late by itself: then another lease is tried.
LEASES = (2.0, 4.0, 8.0)


@pytest.fixture
def sqlite(tmp_path):
    return f"sqlite:///{tmp_path}/jobs.db", f"sqlite:///{tmp_path}/flows.db"


@pytest.fixture
def directory(tmp_path):
    return f"dir://{tmp_path}/jobs", f"dir://{tmp_path}/flows"


@pytest.fixture
def redis(redis_url):
    return tuple(f"{redis_url}?namespace={uuid.uuid4()}" for _ in range(2))


@pytest.fixture
def etcd(etcd_url):
    return tuple(f"{etcd_url}/{uuid.uuid4()}" for _ in range(2))


@pytest.fixture
def zookeeper(zookeeper_url):
    return tuple(f"{zookeeper_url}/{uuid.uuid4()}" for _ in range(2))


@pytest.fixture
def postgresql(new_server):
    return (new_server("postgresql").url,) * 2


@pytest.fixture
def mysql(new_server):
    return (new_server("mysql").url,) * 2


PLACES = ["sqlite", "directory", "redis", "etcd", "zookeeper", "postgresql", "mysql"]


def runs_elsewhere_after(office, sign, lease):
    """Have a job's conductor killed or stopped, and say after how many seconds its task ran elsewhere."""
    first, second = (uuid.uuid4().hex[:8] for _ in range(2))
    process = office.start(first, "--lease-ttl", str(lease))
    job = office.post("staying")
    eventually(lambda: ("stay", "execute") in office.done())
    office.start(second, "--lease-ttl", str(lease))
    if office.board.find_owner(job) != first:
        return math.inf  # its heart was not given the time for a beat in a whole lease
    begun = time.monotonic()
    process.send_signal(sign)
    eventually(lambda: office.done().count(("stay", "execute")) == 2)
    took = time.monotonic() - begun
    assert office.board.find_owner(job) == second
    assert office.done().count(("a", "execute")) == 1  # what was done is not done again
    return took


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
@pytest.mark.parametrize("place", PLACES)
def test_in_a_lease_and_a_second(place, sign, request, tmp_path, capsys):
    addresses = request.getfixturevalue(place)
    for lease in LEASES:
        directory = tmp_path / str(lease)
        directory.mkdir()
        office = Office(directory, *addresses)
        try:
            took = runs_elsewhere_after(office, sign, lease)
        finally:
            office.close()
        with capsys.disabled():
            print(f"\n{place}: after {sign.name} a job ran elsewhere in {took:.2f} s (lease {lease} s)")  # noqa: T201
        if took < lease + 1:
            return
    pytest.fail(f"it took {took:.2f} s with a lease of {lease} s, and too long with {LEASES[:-1]}")
