"""The contract of backends on database servers: restarts, cut connections and lost answers."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from stackl_flow import engines, states, task
from stackl_flow import exceptions as exc
from stackl_flow.patterns.linear_flow import Flow
from stackl_flow.persistence import backends, models
from stackl_flow.testing.contracts.persistence import atom_update, checkpoint, saved_flow, with_tasks
from stackl_flow.testing.crash import in_child
from tests.support.lossy_proxy import LossyProxy

WRONG = "secret"
RUN = [("t0", None, states.RUNNING, 2.0)]
DONE = [("t0", states.RUNNING, states.SUCCESS, 3.0), (None, None, states.SUCCESS, 3.0)]


class Target(NamedTuple):
    """The database of a test: its URL, a function that cuts all connections to it, its name on the server.

    ``server`` is a connection of the test.
    """

    url: str
    cut: Callable[[], None]
    server: Any
    name: str


class Disrupt(task.Task):
    """Disrupts the database of its own engine while it runs."""

    default_provides = "x"

    def __init__(self, name, disruption):
        super().__init__(name)
        self.disruption = disruption

    def execute(self):
        self.disruption()
        return 7


def run_flow(url, disruption):
    """Run a flow with a disruption in the middle of each task, and return its history."""
    flow = Flow("f").add(*(Disrupt(f"t{number}", disruption) for number in range(3)))
    with backends.backend(url) as backend, backend.get_connection() as conn:
        engine = engines.load(flow, backend=backend)
        engine.run()
        assert engine.storage.fetch("x") == 7
        return conn.get_history(engine.storage.flow_uuid)


def states_of(history):
    return [(row.atom, row.old, row.new) for row in history]


def lose_answers(monkeypatch, conn, *, applied, meanwhile=lambda: None):
    """Let the next answer to a write be lost with its connection, after the write was applied or before."""
    session, single_statement = conn._session, conn._target.single_statement
    commit, write = session.commit, getattr(single_statement, "write", None)

    def lose():
        monkeypatch.setattr(session, "commit", commit)
        if single_statement is not None:
            monkeypatch.setattr(single_statement, "write", write)
        session.raw.close()
        meanwhile()

    def lost_commit():
        if applied:
            commit()
        else:
            session.raw.rollback()  # as the server does when it finds the connection lost
        lose()
        commit()

    def lost_write(*args):
        if applied and not write(*args):
            return False  # then by several statements
        lose()
        return write(*args)

    monkeypatch.setattr(session, "commit", lost_commit)
    if single_statement is not None:
        monkeypatch.setattr(single_statement, "write", lost_write)


def fails(url, *words, verb="get_logbooks", kind=exc.StorageFailure):
    """Use a URL that must fail, and check the message."""
    with (
        backends.fetch(url) as backend,
        backend.get_connection() as conn,
        pytest.raises(kind) as caught,
    ):
        getattr(conn, verb)()
    for word in words:
        assert word in str(caught.value)
    assert WRONG not in str(caught.value)
    return caught.value


class Undo(task.Task):
    """Fails if it is the last one; calls a function when it is reverted."""

    def __init__(self, name, undo):
        super().__init__(name)
        self.undo = undo

    def execute(self):
        if self.name == "last":
            raise RuntimeError("failed")

    def revert(self, **_):
        if self.name != "last":
            self.undo(self.name)


def rollback_flow(undo):
    return Flow("f").add(*(Undo(name, undo) for name in ("t0", "t1", "t2", "last")))


def crash_in_rollback(url):
    """Run a flow in a process that dies while its second task is reverted; return the flow."""
    with backends.backend(url) as backend:
        engine = engines.load(rollback_flow(print), backend=backend)
        flow_uuid = engine.storage.flow_uuid

    def run():
        with backends.backend(url) as theirs, theirs.get_connection() as conn:
            flow = rollback_flow(lambda name: os._exit(7) if name == "t1" else None)
            engines.load(flow, flow_detail=conn.get_flow_details(flow_uuid), backend=theirs).run()

    assert in_child(run) == 7
    return flow_uuid


class ServerFailureContract:
    """Servers are restarted, connections cut, answers lost: every write is applied once."""

    @pytest.fixture
    def target(self):
        """Return an empty database on a server that other tests use too."""
        raise NotImplementedError("a subclass of the contract defines the fixture target")

    @pytest.fixture
    def server(self):
        """Return a server of this test."""
        raise NotImplementedError("a subclass of the contract defines the fixture server")

    def test_restarts_during_a_recovery(self, server):
        """The server is killed while a crashed rollback is resumed: it continues where it was."""
        flow_uuid = crash_in_rollback(server.url)
        reverted = []

        def restart():
            server.kill()
            server.start()

        def factory():
            return rollback_flow(lambda name: (reverted.append(name), restart()))

        with backends.backend(server.url) as backend, backend.get_connection() as conn:
            detail = conn.get_flow_details(flow_uuid)
            engine = engines.load(factory(), flow_detail=detail, backend=backend)
            with pytest.raises(exc.WrappedFailure, match="failed"):
                engine.run()
            assert reverted == ["t1", "t0"]
            assert conn.get_flow_details(flow_uuid).state == states.REVERTED
            ends = [(row.atom, row.new) for row in conn.get_history(flow_uuid) if row.new == states.REVERTED]
            assert ends == [("last", states.REVERTED), ("t2", states.REVERTED), ("t1", states.REVERTED),
                            ("t0", states.REVERTED), (None, states.REVERTED)]  # fmt: skip

    def test_a_silent_connection_fails_in_time(self, server):
        """A connection that is dead, and not closed, hangs neither a read nor a checkpoint."""
        proxy = LossyProxy(server.port)
        url = server.url.replace(f":{server.port}", f":{proxy.port}")
        options = "timeout=1&statement_timeout=1&read_timeout=1&max_attempts=2"
        with backends.backend(f"{url}?{options}") as backend, backend.get_connection() as conn:
            flow, (one,) = with_tasks(backend, 1)
            epoch = conn.take_ownership(flow.uuid, "me", 1.0)
            proxy.is_silent = True
            late = checkpoint(flow, epoch, [atom_update(one, states.RUNNING)], RUN)
            begun = time.monotonic()
            with pytest.raises(exc.StorageFailure, match="cannot be reached"):
                conn.checkpoint(late)
            with pytest.raises(exc.StorageFailure, match="cannot be reached"):
                conn.get_history(flow.uuid)
            assert time.monotonic() - begun < 30
            proxy.is_silent = False
            conn.checkpoint(late)
            assert [row[1:4] for row in conn.get_history(flow.uuid)] == [row[:3] for row in RUN]
        proxy.close()

    def test_a_flow_survives_cut_connections(self, target):
        whole = run_flow(target.url, lambda: None)
        history = run_flow(target.url, target.cut)
        assert states_of(history) == states_of(whole)
        assert [row.seq for row in history] == list(range(1, len(history) + 1))

    def test_a_flow_survives_restarts_of_the_server(self, server):
        whole = run_flow(server.url, lambda: None)

        def restart():
            server.kill()
            server.start()

        assert states_of(run_flow(server.url, restart)) == states_of(whole)

    def test_a_flow_waits_for_a_server_that_is_down(self, server):
        starter = []

        def away():
            if not starter:
                server.stop()
                starter.append(threading.Timer(1.0, server.start))  # later than the first tries
                starter[0].start()

        try:
            history = run_flow(server.url, away)
        finally:
            starter[0].join()
        assert states_of(history)[-1] == (None, "RUNNING", "SUCCESS")

    @pytest.mark.parametrize("applied", [True, False])
    @pytest.mark.parametrize("warm", [True, False])
    def test_a_checkpoint_whose_answer_is_lost_is_applied_once(self, target, monkeypatch, applied, warm):
        with backends.backend(target.url) as backend, backend.get_connection() as conn:
            flow, (one,) = with_tasks(backend, 1)
            epoch = conn.take_ownership(flow.uuid, "me", 1.0)
            if warm:
                conn.checkpoint(checkpoint(flow, epoch, [atom_update(one, states.RUNNING)], RUN))
            lose_answers(monkeypatch, conn, applied=applied)
            conn.checkpoint(
                checkpoint(flow, epoch, [atom_update(one, states.SUCCESS, "1")], DONE, states.SUCCESS)
            )
            conn.checkpoint(checkpoint(flow, epoch, meta='{"a":1}'))
            history = conn.get_history(flow.uuid)
            assert [row[1:4] for row in history] == [row[:3] for row in (RUN if warm else []) + DONE]
            found = conn.get_flow_details(flow.uuid)
            assert (found.state, found.meta) == (states.SUCCESS, {"a": 1})
            assert conn.get_atom_details(one.uuid).results == 1

    @pytest.mark.parametrize("applied", [True, False])
    def test_an_owner_whose_answer_is_lost_and_that_is_superseded(self, target, monkeypatch, applied):
        """What was applied before is stored; what was not is refused."""
        with backends.backend(target.url) as backend, backend.get_connection() as conn:
            flow, (one,) = with_tasks(backend, 1)
            epoch = conn.take_ownership(flow.uuid, "me", 1.0)
            last = checkpoint(flow, epoch, [atom_update(one, states.SUCCESS, "1")], DONE)

            def supersede():
                with backend.get_connection() as other:
                    other.take_ownership(flow.uuid, "other", 2.0)

            lose_answers(monkeypatch, conn, applied=applied, meanwhile=supersede)
            if applied:
                conn.checkpoint(last)
            with pytest.raises(exc.OwnershipLost):
                conn.checkpoint(last)
            assert len(conn.get_history(flow.uuid)) == (len(DONE) if applied else 0)

    @pytest.mark.parametrize("applied", [True, False])
    def test_methods_whose_answers_are_lost(self, target, monkeypatch, applied):
        with backends.backend(target.url) as backend, backend.get_connection() as conn:
            flow = saved_flow(backend)
            tasks = [models.TaskDetail(f"t{i}", models.new_uuid()) for i in range(3)]
            lose_answers(monkeypatch, conn, applied=applied)
            conn.add_atoms(flow.uuid, tasks)
            assert [atom.uuid for atom in conn.get_atoms_for_flow(flow.uuid)] == [atom.uuid for atom in tasks]
            with pytest.raises(exc.Duplicate):
                conn.add_atoms(flow.uuid, tasks)
            lose_answers(monkeypatch, conn, applied=applied)
            book = models.LogBook("late")
            conn.save_logbook(book)
            assert [found.name for found in conn.get_logbooks()] == ["book", "late"]
            lose_answers(monkeypatch, conn, applied=applied)
            epoch = conn.take_ownership(flow.uuid, "me", 1.0)
            assert conn.get_flow_record(flow.uuid).epoch == epoch
            lose_answers(monkeypatch, conn, applied=applied)
            conn.destroy_logbook(book.uuid)
            with pytest.raises(exc.NotFound):
                conn.destroy_logbook(book.uuid)

    def test_a_superseded_owner_with_an_open_connection_writes_nothing(self, target):
        with backends.backend(target.url) as backend, backend.get_connection() as conn:
            flow, (one,) = with_tasks(backend, 1)
            epoch = conn.take_ownership(flow.uuid, "me", 1.0)
            conn.checkpoint(checkpoint(flow, epoch, [atom_update(one, states.RUNNING)], RUN))
            with backend.get_connection() as other:
                other.take_ownership(flow.uuid, "other", 2.0)
            with pytest.raises(exc.OwnershipLost, match="other"):
                conn.checkpoint(checkpoint(flow, epoch, [atom_update(one, states.SUCCESS, "1")], DONE))
            assert conn.get_atom_details(one.uuid).state == states.RUNNING
            assert len(conn.get_history(flow.uuid)) == len(RUN)

    def test_a_checkpoint_on_an_open_connection_is_atomic(self, target):
        with backends.backend(target.url) as backend, backend.get_connection() as conn:
            flow, (one,) = with_tasks(backend, 1)
            epoch = conn.take_ownership(flow.uuid, "me", 1.0)
            conn.checkpoint(checkpoint(flow, epoch, [atom_update(one, states.RUNNING)], RUN))
            stranger = models.TaskDetail("stranger", models.new_uuid())
            atoms = [atom_update(one, states.SUCCESS, "1"), atom_update(stranger, states.SUCCESS)]
            with pytest.raises(exc.NotFound, match=stranger.uuid):
                conn.checkpoint(checkpoint(flow, epoch, atoms, DONE))
            assert conn.get_atom_details(one.uuid).state == states.RUNNING
            assert len(conn.get_history(flow.uuid)) == len(RUN)
            twice = [atom_update(one, states.RUNNING), atom_update(one, states.SUCCESS, "1")]
            conn.checkpoint(checkpoint(flow, epoch, twice, DONE))
            assert conn.get_atom_details(one.uuid).results == 1

    def test_an_owner_with_two_connections(self, target):
        """Each continues from the other's last transition."""
        with backends.backend(target.url) as backend:
            flow, (one,) = with_tasks(backend, 1)
            with backend.get_connection() as first, backend.get_connection() as second:
                epoch = first.take_ownership(flow.uuid, "me", 1.0)
                for conn in (first, first, second, second, first, second):
                    conn.checkpoint(checkpoint(flow, epoch, [atom_update(one, states.RUNNING)], RUN))
                assert [row.seq for row in first.get_history(flow.uuid)] == list(range(1, 7))

    @pytest.mark.parametrize("count", [1, 7, 300])
    def test_checkpoints_of_many_atoms(self, target, count):
        with backends.backend(target.url) as backend, backend.get_connection() as conn:
            flow, atoms = with_tasks(backend, count)
            epoch = conn.take_ownership(flow.uuid, "me", 1.0)
            for state in (states.RUNNING, states.SUCCESS):
                transitions = [(atom.name, None, state, 2.0) for atom in atoms]
                conn.checkpoint(
                    checkpoint(flow, epoch, [atom_update(atom, state, "1") for atom in atoms], transitions)
                )
            assert {atom.state for atom in conn.get_atoms_for_flow(flow.uuid)} == {states.SUCCESS}
            assert [row.seq for row in conn.get_history(flow.uuid)] == list(range(1, 2 * count + 1))

    def test_ownership_taken_concurrently(self, target):
        """No epoch is returned twice."""
        with backends.backend(target.url) as backend:
            flow = saved_flow(backend)
            epochs = []

            def take():
                with backend.get_connection() as conn:
                    epochs.extend(conn.take_ownership(flow.uuid, "me", 1.0) for _ in range(10))

            threads = [threading.Thread(target=take) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(epochs) == list(range(1, 41))

    def test_not_upgraded(self, target):
        fails(target.url, "not upgraded", "stackl-flow db upgrade --db")
        fails(target.url, "not upgraded", verb="validate")

    def test_a_name_that_is_too_long(self, target):
        with backends.backend(target.url) as backend, backend.get_connection() as conn:
            with pytest.raises(exc.StorageFailure, match="255 characters"):
                conn.save_logbook(models.LogBook("x" * 256))
            conn.save_logbook(models.LogBook("x" * 255))

    def test_many_processes_upgrade_at_once(self, target):
        code = "import sys; from stackl_flow.persistence.backends import backend as b\nwith b(sys.argv[1]): 0"
        children = [subprocess.Popen([sys.executable, "-c", code, target.url]) for _ in range(4)]
        assert [child.wait() for child in children] == [0] * 4
        with backends.fetch(target.url) as backend, backend.get_connection() as conn:
            conn.validate()
