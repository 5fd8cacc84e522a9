"""Flows in key-value stores: small commits, interrupted writes and concurrent writers."""

import pytest

from stackl_flow import exceptions as exc
from stackl_flow import states
from stackl_flow.kv.backends.memory import MemoryKV
from stackl_flow.kv.items import Limits, Put
from stackl_flow.persistence import models
from stackl_flow.persistence.backends.kv import KVBackend
from stackl_flow.testing.contracts.persistence import (
    PersistenceContract,
    atom_update,
    checkpoint,
    saved_flow,
    with_tasks,
)


class SmallCommitsKV(MemoryKV):
    """A store in memory whose commits are smaller than those of etcd."""

    limits = Limits(value=200_000, commit=200_000, operations=20)


@pytest.fixture
def backend():
    with KVBackend("memory", store=SmallCommitsKV()) as backend:
        backend.get_connection().upgrade()
        yield backend


class TestSmallCommits(PersistenceContract):
    @pytest.fixture
    def backend(self, backend):
        return backend


def test_thousands_of_atoms(backend):
    flow, tasks = with_tasks(backend, 5000)
    with backend.get_connection() as conn:
        epoch = conn.take_ownership(flow.uuid, "me", 1.0)
        first = [atom_update(task, states.RUNNING) for task in tasks[:300]]
        conn.checkpoint(checkpoint(flow, epoch, first, [("t0", None, "RUNNING", 1.0)] * 300))
        conn.checkpoint(checkpoint(flow, epoch, [atom_update(tasks[1], states.SUCCESS, "7")]))
        conn.checkpoint(
            checkpoint(flow, epoch, [atom_update(task, states.REVERTING) for task in tasks[2:200]])
        )
        found = conn.get_atoms_for_flow(flow.uuid)
        assert [atom.uuid for atom in found] == [task.uuid for task in tasks]
        assert [atom.state for atom in found[:3]] == ["RUNNING", "SUCCESS", "REVERTING"]
        assert [found[n].state for n in (199, 200, 299, 300)] == ["REVERTING", "RUNNING", "RUNNING", None]
        assert found[1].results == 7
        assert len(conn.get_history(flow.uuid)) == 300
        conn.destroy_logbook(conn.get_flow_record(flow.uuid).book_uuid)
        assert conn.get_atoms_for_flow(flow.uuid) == []
    assert [item.key for item in backend.kv.list()] == ["persistence/format"]


def test_updates_of_many_atoms(backend):
    flow, tasks = with_tasks(backend, 50)
    for task in tasks:
        task.put(states.SUCCESS, task.name)
    with backend.get_connection() as conn:
        found = conn.update_flow_details(flow)
        assert [atom.results for atom in found] == [task.name for task in tasks]
        tasks[3].put(states.SUCCESS, "again")
        conn.update_atom_details(tasks[3])
        assert [atom.results for atom in conn.get_atoms_for_flow(flow.uuid)][2:5] == ["t2", "again", "t4"]


class FailingKV(SmallCommitsKV):
    """Fails at one commit and at all that follow, like an unreachable server."""

    left = None

    def _commit(self, *args):
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise exc.StorageFailure("the server is gone")
        return super()._commit(*args)


@pytest.mark.parametrize("left", range(8))
def test_atoms_added_by_several_commits_are_atomic(left):
    store = FailingKV()
    with KVBackend("memory", store=store) as backend, backend.get_connection() as conn:
        flow = saved_flow(backend)
        first = [models.TaskDetail(f"first {n}", models.new_uuid()) for n in range(5)]
        conn.add_atoms(flow.uuid, first)
        more = [models.TaskDetail(f"more {n}", models.new_uuid()) for n in range(12000)]
        store.left = left
        with pytest.raises(exc.StorageFailure, match="gone"):
            conn.add_atoms(flow.uuid, more)
        assert len(conn.get_atoms_for_flow(flow.uuid)) == 5
        store.left = None
        conn.add_atoms(flow.uuid, more[:2])
        assert [atom.name for atom in conn.get_atoms_for_flow(flow.uuid)][4:] == [
            "first 4",
            "more 0",
            "more 1",
        ]
        epoch = conn.take_ownership(flow.uuid, "me", 1.0)
        with pytest.raises(exc.NotFound, match=more[2].uuid):
            conn.checkpoint(checkpoint(flow, epoch, [atom_update(more[2], states.RUNNING)]))


def test_an_interrupted_deletion_leaves_nothing_to_a_new_flow_with_the_same_uuid():
    store = FailingKV()
    with KVBackend("memory", store=store) as backend, backend.get_connection() as conn:
        flow, tasks = with_tasks(backend, 30)
        epoch = conn.take_ownership(flow.uuid, "me", 1.0)
        for task in tasks:
            transitions = [(task.name, None, "SUCCESS", 1.0)]
            conn.checkpoint(checkpoint(flow, epoch, [atom_update(task, states.SUCCESS, "1")], transitions))
        book = conn.get_logbook(conn.get_flow_record(flow.uuid).book_uuid)
        store.left = 1
        with pytest.raises(exc.StorageFailure, match="gone"):
            conn.destroy_logbook(book.uuid)
        store.left = None
        with pytest.raises(exc.NotFound):
            conn.get_flow_details(flow.uuid)
        fresh = models.LogBook("again")
        fresh.add(flow.copy(retain_contents=False))
        conn.save_logbook(fresh)
        conn.add_atoms(flow.uuid, [models.TaskDetail("t0", tasks[0].uuid)])
        assert [(atom.name, atom.state) for atom in conn.get_atoms_for_flow(flow.uuid)] == [("t0", None)]
        assert conn.get_history(flow.uuid) == []


def test_concurrent_writers():
    """A write between two checkpoints and the checkpoints are all applied: the owner reads the flow again."""
    with KVBackend("memory") as backend, backend.get_connection() as mine, backend.get_connection() as other:
        flow, (task, second) = with_tasks(backend, 2)
        epoch = mine.take_ownership(flow.uuid, "me", 1.0)
        mine.checkpoint(checkpoint(flow, epoch, [atom_update(task, states.SUCCESS, "1")]))
        stored = other.get_flow_details(flow.uuid)
        stored.meta["noted"] = True
        other.update_flow_details(stored)
        mine.checkpoint(
            checkpoint(flow, epoch, [atom_update(second, states.SUCCESS, "2")], state=states.SUCCESS)
        )
        found = other.get_flow_details(flow.uuid)
        assert (found.meta, found.state) == ({"noted": True}, states.SUCCESS)
        assert [atom.results for atom in found] == [1, 2]


class NoSnapshotKV(MemoryKV):
    """Lists heads as they are a moment later than the rest, so a list is no snapshot."""

    list_is_snapshot = False
    meanwhile = None

    def _list(self, *args, **kwargs):
        found = super()._list(*args, **kwargs)
        if self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        return [self.get(item.key) if item.key.endswith("/head") else item for item in found]


@pytest.mark.parametrize("during", ["list", "match"])
def test_a_new_owner_sees_what_the_former_owner_wrote_meanwhile(during):
    store = NoSnapshotKV()
    with (
        KVBackend("memory", store=store) as backend,
        backend.get_connection() as old,
        backend.get_connection() as new,
    ):
        flow, (task,) = with_tasks(backend, 1)
        epoch = old.take_ownership(flow.uuid, "old", 1.0, lambda _: ())
        last = checkpoint(
            flow, epoch, [atom_update(task, states.SUCCESS, "1")], [("t0", None, states.SUCCESS, 1.0)]
        )
        seen = []

        def match(stored):
            seen.append([atom.state for atom in stored])
            if during == "match" and len(seen) == 1:
                old.checkpoint(last)
            return ()

        if during == "list":
            store.meanwhile = lambda: old.checkpoint(last)
        assert new.take_ownership(flow.uuid, "new", 2.0, match) == epoch + 1
        assert seen == [[None], [states.SUCCESS]]
        with pytest.raises(exc.OwnershipLost):
            old.checkpoint(last)
        assert len(new.get_history(flow.uuid)) == 1


def test_a_new_owner_continues_the_history():
    """On the page of transitions that is not full, and without losing the metadata."""
    with KVBackend("memory") as backend:
        flow, (task,) = with_tasks(backend, 1)
        for number in range(1, 5):
            with backend.get_connection() as conn:
                epoch = conn.take_ownership(flow.uuid, f"owner {number}", 1.0, lambda _: ())
                transitions = [("t0", None, states.RUNNING, float(n)) for n in range(20)]
                conn.checkpoint(checkpoint(flow, epoch, [atom_update(task, states.RUNNING)], transitions))
                conn.checkpoint(checkpoint(flow, epoch, meta=f'{{"by":{number}}}'))
                assert conn.get_flow_details(flow.uuid).meta == {"by": number}
        history = conn.get_history(flow.uuid)
        assert [row.seq for row in history] == list(range(1, 81))
        assert [row.at for row in history] == [float(n) for n in range(20)] * 4


def test_an_atom_is_renamed():
    with KVBackend("memory") as backend, backend.get_connection() as conn:
        flow, (task,) = with_tasks(backend, 1)
        task.version = (2, 0)
        conn.update_atom_details(task)
        epoch = conn.take_ownership(flow.uuid, "me", 1.0)
        conn.checkpoint(checkpoint(flow, epoch, [atom_update(task, states.SUCCESS, "1")]))
        assert [atom.version for atom in conn.get_atoms_for_flow(flow.uuid)] == [(2, 0)]


def test_a_store_that_was_not_prepared():
    with KVBackend("memory") as backend, backend.get_connection() as conn:
        with pytest.raises(exc.StorageFailure, match="upgrade"):
            conn.validate()
        conn.upgrade()
        conn.validate()


def test_newer_format_is_refused():
    with KVBackend("memory") as backend, backend.get_connection() as conn:
        conn.upgrade()
        backend.kv.commit(puts=[Put("persistence/format", '{"format":99}')])
        for verb in (conn.upgrade, conn.validate):
            with pytest.raises(exc.IncompatibleVersion, match="format 99"):
                verb()


def _history(tasks, state):
    return [(task.name, None, state, 1.0) for task in tasks]


def test_large_values_that_arrive_together():
    """They are stored by one checkpoint, of several commits, and not again when the states change."""
    store = CountingKV()
    with KVBackend("memory", store=store) as backend, backend.get_connection() as conn:
        flow, tasks = with_tasks(backend, 300)
        epoch = conn.take_ownership(flow.uuid, "me", 1.0)
        texts = [f'"{n:020000}"' for n in range(300)]
        done = [atom_update(task, states.SUCCESS, text) for task, text in zip(tasks, texts, strict=True)]
        conn.checkpoint(checkpoint(flow, epoch, done, _history(tasks, states.SUCCESS)))
        found = conn.get_atoms_for_flow(flow.uuid)
        assert [(atom.state, f'"{atom.results}"') for atom in found] == [("SUCCESS", text) for text in texts]
        assert [row.seq for row in conn.get_history(flow.uuid)] == list(range(1, 301))
        store.written = 0
        again = [update._replace(state=states.REVERTING) for update in done]
        conn.checkpoint(checkpoint(flow, epoch, again, _history(tasks, states.REVERTING)))
        assert store.written < 200_000
        assert {atom.state for atom in conn.get_atoms_for_flow(flow.uuid)} == {"REVERTING"}
        # What is not needed any more is deleted with the next commits, as they have room.
        for _ in range(30):
            conn.checkpoint(checkpoint(flow, epoch, [atom_update(task, states.PENDING) for task in tasks]))
        assert [atom.results for atom in conn.get_atoms_for_flow(flow.uuid)] == [None] * 300
        parts = [item.key for item in store.list() if "/part/" in item.key and "/part/many/" not in item.key]
        assert parts == []
        conn.destroy_logbook(conn.get_flow_record(flow.uuid).book_uuid)
    assert store.list() == []


class CountingKV(SmallCommitsKV):
    """Counts the bytes that are written."""

    written = 0

    def _commit(self, checks, puts, deletes, lease):
        self.written += sum(len(put.value) for put in puts)
        return super()._commit(checks, puts, deletes, lease)


def test_a_checkpoint_of_several_commits_is_atomic():
    """Whichever of its commits fails, readers see nothing of it, and the next owner is not disturbed."""
    commits = next(left for left in range(100) if _fail_in_a_large_checkpoint(left))
    assert commits > 10


def _fail_in_a_large_checkpoint(left):
    """Let the store fail after so many commits of a checkpoint; return whether it had no more than these."""
    store = FailingKV()
    with KVBackend("memory", store=store) as backend, backend.get_connection() as conn:
        flow, tasks = with_tasks(backend, 200)
        epoch = conn.take_ownership(flow.uuid, "me", 1.0)
        first = [atom_update(task, states.RUNNING) for task in tasks]
        conn.checkpoint(checkpoint(flow, epoch, first, _history(tasks[:50], states.RUNNING)))
        done = [atom_update(task, states.SUCCESS, f'"{task.name * 3_000}"') for task in tasks]
        large = checkpoint(flow, epoch, done, _history(tasks, states.SUCCESS), state=states.SUCCESS)
        store.left = left
        try:
            conn.checkpoint(large)
        except exc.StorageFailure:
            store.left = None
        else:
            return True
        with backend.get_connection() as other:
            assert {(atom.state, atom.results) for atom in other.get_atoms_for_flow(flow.uuid)} == {
                ("RUNNING", None)
            }
            assert [row.new for row in other.get_history(flow.uuid)] == ["RUNNING"] * 50
            # The next owner is not disturbed by what is left, and the former one writes nothing any more.
            epoch = other.take_ownership(flow.uuid, "you", 2.0)
            with pytest.raises(exc.OwnershipLost):
                conn.checkpoint(large)
            values = [atom_update(task, states.SUCCESS, '"mine"') for task in tasks]
            other.checkpoint(checkpoint(flow, epoch, values, _history(tasks[:10], states.SUCCESS)))
            assert {atom.results for atom in other.get_atoms_for_flow(flow.uuid)} == {"mine"}
            assert [row.new for row in other.get_history(flow.uuid)] == ["RUNNING"] * 50 + ["SUCCESS"] * 10
    return False


def test_a_value_that_is_too_large_is_refused_before_anything_is_written():
    store = CountingKV()
    with KVBackend("memory", store=store) as backend, backend.get_connection() as conn:
        flow, tasks = with_tasks(backend, 100)
        epoch = conn.take_ownership(flow.uuid, "me", 1.0)
        done = [atom_update(task, states.SUCCESS, '"x"' * 4_000) for task in tasks]
        done[-1] = atom_update(tasks[-1], states.SUCCESS, f'"{"x" * 200_000}"')
        store.written = 0
        with pytest.raises(exc.ValueTooLarge) as caught:
            conn.checkpoint(checkpoint(flow, epoch, done))
        assert (caught.value.size, caught.value.limit) == (200_002, 200_000)
        assert store.written == 0
        stored = conn.get_flow_details(flow.uuid)
        stored.meta["inputs"] = "x" * 200_000
        with pytest.raises(exc.ValueTooLarge):
            conn.update_flow_details(stored)
        assert store.written == 0


def test_large_values_of_stored_details():
    with KVBackend("memory", store=SmallCommitsKV()) as backend, backend.get_connection() as conn:
        flow, _ = with_tasks(backend, 40)
        stored = conn.get_flow_details(flow.uuid)
        for size in (20_000, 30_000):
            for task in stored:
                task.put(states.SUCCESS, task.name * size)
            conn.update_flow_details(stored)
            (first, *_) = stored
            assert conn.get_atom_details(first.uuid).results == first.results
            assert [task.results for task in conn.get_atoms_for_flow(flow.uuid)] == [
                task.results for task in stored
            ]
        parts = [item for item in backend.kv.list() if "/part/" in item.key]
        assert len(parts) == 40
        book = models.LogBook("new")
        fresh = models.FlowDetail("fresh", models.new_uuid())
        for number, task in enumerate(stored):
            detail = models.TaskDetail(f"t{number}", models.new_uuid())
            detail.put(states.SUCCESS, task.results)
            fresh.add(detail)
        book.add(fresh)
        conn.save_logbook(book)
        assert [task.results for task in conn.get_atoms_for_flow(fresh.uuid)] == [
            task.results for task in stored
        ]


def test_a_former_owner_writes_nothing_of_a_large_checkpoint():
    """Not even what would be written before the commit that counts: each commit checks the owner."""
    store = CountingKV()
    with KVBackend("memory", store=store) as backend, backend.get_connection() as conn:
        flow, tasks = with_tasks(backend, 200)
        epoch = conn.take_ownership(flow.uuid, "me", 1.0)
        conn.checkpoint(checkpoint(flow, epoch, [], _history(tasks[:3], states.RUNNING)))
        with backend.get_connection() as other:
            new_epoch = other.take_ownership(flow.uuid, "you", 2.0)
            other.checkpoint(checkpoint(flow, new_epoch, [], _history(tasks[:5], states.FAILURE)))
            done = [atom_update(task, states.SUCCESS, f'"{task.name * 3_000}"') for task in tasks]
            with pytest.raises(exc.OwnershipLost):
                conn.checkpoint(checkpoint(flow, epoch, done, _history(tasks, states.SUCCESS)))
            assert [row.new for row in other.get_history(flow.uuid)] == ["RUNNING"] * 3 + ["FAILURE"] * 5
        assert not [item for item in store.list() if "/part/" in item.key]
