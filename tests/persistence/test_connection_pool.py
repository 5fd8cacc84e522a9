"""Idle connections are pooled, and used again as long as they are usable."""

import contextlib
import os
import shutil
import threading

import pytest
import sqlalchemy as sa

from stackl_flow.persistence import backends
from stackl_flow.testing.contracts.persistence import saved_flow
from tests.support import databases


@pytest.fixture
def opened():
    """Return a function that lists the connections that a backend opens from now on."""

    def count(backend):
        seen = []
        sa.event.listen(backend.engine, "connect", lambda raw, _: seen.append(raw))
        return seen

    return count


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/flows.db"


@pytest.fixture
def schema(postgresql_url):
    with databases.new_schema(postgresql_url) as schema:
        yield schema


def test_sequential_connections_share_one(url, opened):
    with backends.backend(url) as backend:
        seen = opened(backend)
        flow = saved_flow(backend)
        for _ in range(5):
            with backend.get_connection() as conn:
                conn.take_ownership(flow.uuid, "me", 1.0)
        assert len(seen) <= 1


def test_concurrent_connections_are_separate(url):
    """Also if there are more than the pool keeps."""
    with backends.backend(url) as backend, contextlib.ExitStack() as stack:
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


def test_closing_the_backend_closes_idle_connections(url, tmp_path):
    """The last connection to a SQLite file removes its WAL."""
    with backends.backend(url) as backend:
        saved_flow(backend)
        assert (tmp_path / "flows.db-wal").exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["flows.db"]


def test_a_replaced_file_is_opened_again(url, tmp_path, opened):
    copy = tmp_path / "copy.db"
    with backends.backend(f"sqlite:///{copy}") as other:
        theirs = saved_flow(other)
    with backends.backend(f"{url}?journal_mode=DELETE") as backend:
        ours = saved_flow(backend)
        seen = opened(backend)
        shutil.move(copy, tmp_path / "flows.db")
        with backend.get_connection() as conn:
            assert [flow.uuid for flow in conn.list_flow_records()] == [theirs.uuid] != [ours.uuid]
        assert len(seen) == 1


def in_a_child(backend, flow, seen):
    """Take ownership of a flow in a forked process, and return its exit code."""
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
def test_a_forked_process_does_not_use_its_parents_connections(server, url, opened, request):
    if server:
        url = request.getfixturevalue("schema")[0]
    with backends.backend(url) as backend:
        flow = saved_flow(backend)
        seen = opened(backend)
        assert in_a_child(backend, flow, seen) == 0
        with backend.get_connection() as conn:
            assert conn.take_ownership(flow.uuid, "parent", 2.0) == 2
        assert not seen


def test_idle_connections_are_closed_when_one_is_lost(schema, opened):
    """Each would fail, after a longer delay than the one before."""
    url, name, server = schema
    with backends.backend(url) as backend:
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
