"""Conductors with board and flows on a Redis server, also while it restarts or drops connections."""

import threading
import uuid

import pytest
import redis

from stackl_flow import states as st
from tests.conductors.conftest import Deployment
from tests.conductors.test_takeover import LONG, eventually


@pytest.fixture
def server(new_server):
    return new_server("redis")


@pytest.fixture
def remote(server, tmp_path):
    """A deployment with everything but the log file on the server."""
    board, flows = (f"{server.url}?namespace={uuid.uuid4()}&timeout=30" for _ in range(2))
    deployment = Deployment(tmp_path, board, flows)
    yield deployment
    deployment.close()


def test_many_conductors_run_each_job_once(remote):
    for index in range(3):
        remote.start(f"c{index}", "--slots", "2")
    jobs = [remote.post("good") for _ in range(30)]
    for job in jobs:
        job.result(LONG)
    assert remote.done().count(("a", "execute")) == remote.done().count(("b", "execute")) == 30
    assert len({process for _, _, process in remote.lines()}) > 1
    assert remote.board.job_count == 0


@pytest.mark.parametrize("disruption", ["restarted", "disconnected"])
def test_a_server_that_is_disrupted_all_the_time(disruption, remote, server):
    """Every job succeeds, and a task runs twice only if its flow was taken over while it ran."""
    remote.start("first", "--slots", "2")
    remote.start("second", "--slots", "2")
    done = threading.Event()
    times = 0

    def disturb():
        nonlocal times
        while not done.wait(0.1):
            if disruption == "restarted":
                server.kill()
                server.start()
            else:
                with redis.Redis(port=server.port) as raw:
                    raw.client_kill_filter(_type="normal", skipme=True)
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
    assert remote.done().count(("b", "execute")) >= 20
    assert len(remote.done()) <= 40 + taken_over
    assert remote.board.job_count == 0
