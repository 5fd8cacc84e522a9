"""Whatever goes wrong in a task: its job ends, and the conductor goes on."""

from __future__ import annotations

import threading
import uuid

import pytest

from stackl_flow import states as st
from stackl_flow.conductors import Conductor
from stackl_flow.jobboards import backends as boards
from stackl_flow.persistence import backends as stores
from stackl_flow.submission import post_flow
from tests.conductors.nasty_flows import ERRORS, RESULTS, WORK
from tests.conductors.test_takeover import LONG
from tests.support import unreadable

FACTORY = "tests.conductors.nasty_flows.nasty"


def memory(tmp_path, new_server):
    return f"memory://{uuid.uuid4()}", f"memory://{uuid.uuid4()}"


def sqlite(tmp_path, new_server):
    return f"sqlite:///{tmp_path}/jobs.db", f"sqlite:///{tmp_path}/flows.db"


def on_server(kind):
    def urls(tmp_path, new_server):
        url = new_server().url if kind is None else new_server(kind).url
        if kind == "redis":
            return tuple(f"{url}?namespace={uuid.uuid4()}" for _ in range(2))
        return (url, url) if kind == "postgresql" else tuple(f"{url}/{uuid.uuid4()}" for _ in range(2))

    return urls


PLACES = {"memory": memory, "sqlite": sqlite} | {
    kind: on_server(kind) for kind in ("postgresql", "redis", "etcd")
}


@pytest.fixture(params=PLACES)
def place(request, tmp_path):
    """Return a board and a store for flows."""
    new_server = request.getfixturevalue("new_server") if request.param not in ("memory", "sqlite") else None
    board_url, flows_url = PLACES[request.param](tmp_path, new_server)
    store = stores.fetch(flows_url)
    with store.get_connection() as connection:
        connection.upgrade()
    board = boards.fetch("work", {"connection": board_url}, persistence=store)
    board.connect()
    yield board, store
    board.close()
    store.close()


def run_jobs(board, store, log_file, names, where):
    """Run a job for each name, and return the state of each job and of its flow."""
    inputs = {"log_file": str(log_file)}
    jobs = {
        name: post_flow(board, store, FACTORY, store=inputs, factory_kwargs={"what": name, "where": where})
        for name in names
    }
    conductor = Conductor("me", board, store, max_simultaneous_jobs=4, wait_timeout=0.05)
    thread = threading.Thread(target=conductor.run)
    thread.start()
    try:
        ends = {}
        for name, job in jobs.items():
            assert job.wait(LONG), name
            with store.get_connection() as connection:
                (flow,) = connection.get_logbook(job.book_uuid)
                ends[name] = board.get_snapshot(job).state, connection.get_flow_record(flow.uuid).state
    finally:
        conductor.stop()
        thread.join(LONG)
    assert not thread.is_alive()
    return ends


def test_what_goes_wrong_in_a_task_reverts_its_flow(place, tmp_path):
    ends = run_jobs(*place, tmp_path / "log", WORK, "execute")
    assert ends == dict.fromkeys(WORK, ("failed", st.REVERTED))
    lines = (tmp_path / "log").read_text().splitlines()
    calls = [line.split()[:2] for line in lines]
    assert calls.count(["first", "execute"]) == calls.count(["first", "revert"]) == len(WORK)


def test_what_goes_wrong_in_a_revert_makes_a_dead_letter(place, tmp_path):
    names = [*unreadable.ERRORS, *(set(ERRORS) - set(RESULTS) - {"deep"})]
    ends = run_jobs(*place, tmp_path / "log", names, "revert")
    assert ends == dict.fromkeys(names, ("dead", st.REVERT_FAILURE))
