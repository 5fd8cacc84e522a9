"""Conductors with board and flows in etcd or ZooKeeper, also while the server restarts."""

import threading
import uuid

import pytest

from stackl_flow import states as st
from tests.conductors.conftest import Deployment
from tests.conductors.test_takeover import LONG, eventually

pytestmark = pytest.mark.slow


@pytest.fixture(params=["etcd", "zookeeper"])
def server(request, new_server):
    return new_server(request.param)


@pytest.fixture
def remote(server, tmp_path):
    """A deployment with everything but the log file on the server."""
    deployment = Deployment(tmp_path, *(f"{server.url}/{uuid.uuid4()}?timeout=30" for _ in range(2)))
    yield deployment
    deployment.close()


def test_many_conductors_run_each_job_once(remote):
    for index in range(3):
        remote.start(f"c{index}", "--slots", "2")
    jobs = [remote.post("good") for _ in range(20)]
    for job in jobs:
        job.result(LONG)
    assert remote.done().count(("a", "execute")) == remote.done().count(("b", "execute")) == 20
    assert remote.board.job_count == 0


@pytest.mark.timeout(240)
def test_a_server_that_is_killed_meanwhile(remote, server):
    """Every job succeeds, and a task runs twice only if its flow was taken over while it ran."""
    remote.start("first", "--slots", "2")
    remote.start("second", "--slots", "2")
    done = threading.Event()
    times = 0

    def disturb():
        nonlocal times
        while times < 4 and not done.wait(0.2):
            server.kill()
            server.start()
            times += 1

    disturbance = threading.Thread(target=disturb)
    disturbance.start()
    try:
        jobs = [remote.post("good") for _ in range(20)]
        eventually(lambda: times > 0)
        for job in jobs:
            assert {"first", "second"} <= set(job.result(2 * LONG))
    finally:
        done.set()
        disturbance.join()
    with remote.store.get_connection() as conn:
        records = list(conn.list_flow_records())
    assert [record.state for record in records] == [st.SUCCESS] * 20
    taken_over = sum(record.epoch - 1 for record in records)
    assert remote.done().count(("a", "execute")) >= 20
    assert len(remote.done()) <= 40 + taken_over
    assert remote.board.job_count == 0
