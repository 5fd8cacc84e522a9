"""On every durable board the job of a dead conductor runs elsewhere within its lease and one second."""

import math
import signal
import time
import uuid

import pytest

from tests.conductors.conftest import Deployment
from tests.conductors.test_takeover import eventually

pytestmark = pytest.mark.slow

#: Lease durations in seconds, and priorities. A busy machine may be late by itself: then a longer lease is
#: tried, with a job of higher priority than the last one, which is still on the board.
LEASES = {2.0: "NORMAL", 4.0: "HIGH", 8.0: "VERY_HIGH"}


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


BACKENDS = ["sqlite", "directory", "redis", "etcd", "zookeeper", "postgresql", "mysql"]


def takeover_time(deployment, sign, lease, priority):
    """Kill or stop a job's conductor, and return after how many seconds its task ran elsewhere."""
    first, second = (uuid.uuid4().hex[:8] for _ in range(2))
    process = deployment.start(first, "--lease-ttl", str(lease))
    job = deployment.post("staying", priority=priority)
    eventually(lambda: ("stay", "execute") in deployment.done())
    deployment.start(second, "--lease-ttl", str(lease))
    if deployment.board.find_owner(job) != first:
        return math.inf  # its heartbeat got no processor time for a whole lease
    begun = time.monotonic()
    process.send_signal(sign)
    eventually(lambda: deployment.done().count(("stay", "execute")) == 2)
    seconds = time.monotonic() - begun
    assert deployment.board.find_owner(job) == second
    assert deployment.done().count(("a", "execute")) == 1  # a finished task does not run again
    return seconds


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_takeover_within_a_lease_and_a_second(backend, sign, request, tmp_path, capsys):
    urls = request.getfixturevalue(backend)
    for lease, priority in LEASES.items():
        directory = tmp_path / str(lease)
        directory.mkdir()
        deployment = Deployment(directory, *urls)
        try:
            seconds = takeover_time(deployment, sign, lease, priority)
        finally:
            deployment.close()
        with capsys.disabled():
            print(f"\n{backend}: after {sign.name} a job ran elsewhere in {seconds:.2f} s (lease {lease} s)")  # noqa: T201
        if seconds < lease + 1:
            return
    pytest.fail(f"it took {seconds:.2f} s with a lease of {lease} s, and too long with {[*LEASES][:-1]}")
