"""Conductors whose board and whose flows are kept by a server, also while it is restarted and cut off."""

import threading
import uuid

import pytest
import redis

from stackl_flow import states as st
from tests.conductors.conftest import Office
from tests.conductors.test_takeover import LONG, eventually


@pytest.fixture
def own(new_server):
    return new_server("redis")


@pytest.fixture
def far(own, tmp_path):
    """An office of which nothing but the ledger is on this machine."""
    board, flows = (f"{own.url}?namespace={uuid.uuid4()}&timeout=30" for _ in range(2))
    office = Office(tmp_path, board, flows)
    yield office
    office.close()


def test_many_conductors_run_each_job_once(far):
    for index in range(3):
        far.start(f"c{index}", "--slots", "2")
    jobs = [far.post("good") for _ in range(30)]
    for job in jobs:
        job.result(LONG)
    assert far.done().count(("a", "execute")) == far.done().count(("b", "execute")) == 30
    assert len({process for _, _, process in far.lines()}) > 1
    assert far.board.job_count == 0


@pytest.mark.parametrize("trouble", ["restarted", "cut off"])
def test_the_server_is_in_trouble_all_the_time(trouble, far, own):
    """Every job ends well, and no task runs twice unless its flow was taken over in the middle of it."""
    far.start("first", "--slots", "2")
    far.start("second", "--slots", "2")
    done = threading.Event()
    times = 0

    def disturb():
        nonlocal times
        while not done.wait(0.1):
            if trouble == "restarted":
                own.kill()
                own.start()
            else:
                with redis.Redis(port=own.port) as raw:
                    raw.client_kill_filter(_type="normal", skipme=True)
            times += 1

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        jobs = [far.post("good") for _ in range(20)]
        eventually(lambda: times > 0)
        for job in jobs:
            assert {"first", "second"} <= set(job.result(2 * LONG))
    finally:
        done.set()
        disturber.join()
    with far.store.get_connection() as conn:
        records = list(conn.list_flow_records())
    assert [record.state for record in records] == [st.SUCCESS] * 20
    taken_over = sum(record.epoch - 1 for record in records)
    assert far.done().count(("a", "execute")) >= 20
    assert far.done().count(("b", "execute")) >= 20
    assert len(far.done()) <= 40 + taken_over
    assert far.board.job_count == 0
