"""A PostgreSQL replica that lacks the last commits is promoted: an engine notices, and does not go on."""

import contextlib
import subprocess
import time
from pathlib import Path

import psycopg
import pytest

from scripts.servers.kinds import find
from stackl_flow import engines, states, task
from stackl_flow import exceptions as exc
from stackl_flow.patterns.linear_flow import Flow
from stackl_flow.persistence import backends
from tests.conftest import make_server
from tests.support.lossy_proxy import LossyProxy

NAMES = ["a", "b", "c", "d"]


class Pair:
    """A primary and its asynchronous replica, behind one address."""

    def __init__(self, primary, replica):
        self.primary, self.replica = primary, replica
        self.proxy = LossyProxy(primary.port)
        self.url = primary.url.replace(f":{primary.port}", f":{self.proxy.port}")

    def cut_replication(self):
        """Let the replica have everything until now, and nothing that follows."""
        with psycopg.connect(self.primary.url, autocommit=True) as one:
            (position,) = one.execute("SELECT pg_current_wal_lsn()").fetchone()
        caught_up = "SELECT pg_last_wal_replay_lsn() >= %s"
        with psycopg.connect(self.replica.url, autocommit=True) as other:
            until = time.monotonic() + 60
            while other.execute(caught_up, (position,)).fetchone() != (True,):
                assert time.monotonic() < until
                time.sleep(0.02)
        self.replica.stop()

    def fail_over(self):
        self.primary.kill()
        self.replica.start()
        with psycopg.connect(self.replica.url, autocommit=True) as other:
            other.execute("SELECT pg_promote()")
        self.proxy.target = self.replica.port


@pytest.fixture
def pair(new_server):
    if not find("pg_basebackup"):
        pytest.skip("needs pg_basebackup")
    primary = new_server("postgresql")
    replica = make_server("postgresql")
    prefix = replica._setpriv()  # the user of the server; it also gives it the directory
    copy = [
        find("pg_basebackup"),
        "-h",
        "127.0.0.1",
        "-p",
        str(primary.port),
        "-U",
        "stackl",
        "-R",
        "-X",
        "stream",
    ]
    command = [*prefix, *copy, "-D", str(Path(replica.directory) / "data"), "-c", "fast"]
    subprocess.run(command, check=True, capture_output=True, cwd=replica.directory)
    replica.start()
    pair = Pair(primary, replica)
    yield pair
    pair.proxy.close()
    with contextlib.suppress(ProcessLookupError):
        replica.close()


class Step(task.Task):
    """Calls a function when it runs."""

    def __init__(self, name, log, actions):
        super().__init__(name)
        self.log, self.action = log, actions.get(name)

    def execute(self):
        self.log.append(self.name)
        if self.action is not None:
            self.action()


def flow_with(log, **actions):
    return Flow("f").add(*(Step(name, log, actions) for name in NAMES))


def test_an_engine_does_not_go_on_without_its_commits(pair):
    log = []
    with backends.backend(pair.url) as backend, backend.get_connection() as conn:
        engine = engines.load(flow_with(log, b=pair.cut_replication, c=pair.fail_over), backend=backend)
        with pytest.raises(exc.StorageFailure, match=r"has lost commits.*resume"):
            engine.run()
        assert log == ["a", "b", "c"]
        uuid = engine.storage.flow_uuid
        stored = {atom.name: atom.state for atom in conn.get_atoms_for_flow(uuid)}
        assert stored == {"a": states.SUCCESS, "b": states.RUNNING, "c": states.PENDING, "d": states.PENDING}
        # What the server has is resumed: the end of "b" is lost, so it runs again.
        again = engines.load(flow_with(log), flow_detail=conn.get_flow_details(uuid), backend=backend)
        again.run()
        assert log == ["a", "b", "c", "b", "c", "d"]
        stored = {atom.name: atom.state for atom in conn.get_atoms_for_flow(uuid)}
        assert set(stored.values()) == {states.SUCCESS}


def test_an_owner_whose_takeover_was_lost(pair):
    """The server has an older epoch: the owner does not write, and another one may take the flow over."""
    log = []
    with backends.backend(pair.url) as backend:
        first = engines.load(flow_with([]), backend=backend)
        uuid = first.storage.flow_uuid
        with backend.get_connection() as conn:
            conn.take_ownership(uuid, "first", 1.0)
            pair.cut_replication()
            detail = conn.get_flow_details(uuid)
            engine = engines.load(flow_with(log, a=pair.fail_over), flow_detail=detail, backend=backend)
            with pytest.raises(exc.StorageFailure, match="has lost commits"):
                engine.run()
            assert log == ["a"]
            engines.load(flow_with(log), flow_detail=conn.get_flow_details(uuid), backend=backend).run()
            assert log == ["a", *NAMES]


def test_another_owner_has_written_the_same_numbers(pair):
    """After the failover, another owner has the same epoch and more transitions: the first one notices."""
    log = []

    def fail_over():
        pair.fail_over()
        with backends.backend(pair.replica.url) as other, other.get_connection() as conn:
            engines.load(flow_with([]), flow_detail=conn.get_flow_details(uuids[0]), backend=other).run()

    uuids = []
    with backends.backend(pair.url) as backend, backend.get_connection() as conn:
        uuids.append(engines.load(flow_with([]), backend=backend).storage.flow_uuid)
        pair.cut_replication()
        detail = conn.get_flow_details(uuids[0])
        engine = engines.load(flow_with(log, b=fail_over), flow_detail=detail, backend=backend)
        with pytest.raises(exc.StorageFailure):
            engine.run()
        assert log == ["a", "b"]
        assert conn.get_flow_details(uuids[0]).state == states.SUCCESS
