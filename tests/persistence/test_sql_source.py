"""Connections that nobody uses are kept, and used again as far as they can be."""

import contextlib
import os
import shutil
import threading
import uuid

import psycopg
import pytest
import sqlalchemy as sa

from stackl_flow.persistence import backends
from stackl_flow.testing.contracts.persistence import saved_flow


@pytest.fixture
def opened():
    """Give what counts the connections that a backend opens."""

    def count(backend):
        seen = []
        sa.event.listen(backend.engine, "connect", lambda raw, _: seen.append(raw))
        return seen

    return count


@pytest.fixture
def address(tmp_path):
    return f"sqlite:///{tmp_path}/flows.db"


@pytest.fixture
def schema(postgresql_url):
    """An address with a schema of its own, and the name of its connections."""
    name = f"flows_{uuid.uuid4().hex}"
    with psycopg.connect(postgresql_url, autocommit=True) as server:
        server.execute(f"CREATE SCHEMA {name}")
        yield f"{postgresql_url}?options=-csearch_path%3D{name}&application_name={name}", name, server
        server.execute(f"DROP SCHEMA {name} CASCADE")


def test_one_after_the_other_shares_one(address, opened):
    with backends.backend(address) as backend:
        seen = opened(backend)
        flow = saved_flow(backend)
        for _ in range(5):
            with backend.get_connection() as conn:
                conn.take_ownership(flow.uuid, "me", 1.0)
        assert len(seen) <= 1


def test_at_the_same_time_each_has_one_of_its_own(address):
    """More than are kept, too."""
    with backends.backend(address) as backend, contextlib.ExitStack() as stack:
        flow = saved_flow(backend)
        connections = [stack.enter_context(backend.get_connection()) for _ in range(12)]
        threads = [
            threading.Thread(target=conn.take_ownership, args=(flow.uuid, "me", 1.0)) for conn in connections
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert connections[0].get_flow_record(flow.uuid).epoch == len(connections)


def test_closing_the_backend_closes_what_lies_idle(address, tmp_path):
    """The last to close a file of SQLite takes its log away."""
    with backends.backend(address) as backend:
        saved_flow(backend)
        assert (tmp_path / "flows.db-wal").exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["flows.db"]


def test_a_file_that_was_replaced_is_opened_anew(address, tmp_path, opened):
    copy = tmp_path / "copy.db"
    with backends.backend(f"sqlite:///{copy}") as other:
        theirs = saved_flow(other)
    with backends.backend(f"{address}?journal_mode=DELETE") as backend:
        ours = saved_flow(backend)
        seen = opened(backend)
        shutil.move(copy, tmp_path / "flows.db")
        with backend.get_connection() as conn:
            assert [flow.uuid for flow in conn.list_flow_records()] == [theirs.uuid] != [ours.uuid]
        assert len(seen) == 1


def in_a_child(backend, flow, seen):
    """Take a flow over in a forked process; give how it ended."""
    child = os.fork()
    if child == 0:
        # The child must leave at once: it carries a copy of the whole test run.
        status = 1
        try:
            with backend.get_connection() as conn:
                epoch = conn.take_ownership(flow.uuid, "child", 1.0)
            status = 0 if (epoch, len(seen)) == (1, 1) else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("server", [False, True])
def test_a_child_does_not_use_what_its_parent_left_idle(server, address, opened, request):
    if server:
        address = request.getfixturevalue("schema")[0]
    with backends.backend(address) as backend:
        flow = saved_flow(backend)
        seen = opened(backend)
        assert in_a_child(backend, flow, seen) == 0
        with backend.get_connection() as conn:
            assert conn.take_ownership(flow.uuid, "parent", 2.0) == 2
        assert not seen


def test_when_one_is_lost_the_idle_are_not_tried(schema, opened):
    """Each would fail, and be waited for longer than the one before."""
    address, name, server = schema
    with backends.backend(address) as backend:
        flow = saved_flow(backend)
        with contextlib.ExitStack() as stack:
            for _ in range(5):
                stack.enter_context(backend.get_connection()).get_flow_record(flow.uuid)
        seen = opened(backend)
        cut = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = %s"
        assert len(server.execute(cut, (name,)).fetchall()) == 5
        with backend.get_connection() as conn:
            assert conn.take_ownership(flow.uuid, "me", 1.0) == 1
        assert len(seen) == 1
