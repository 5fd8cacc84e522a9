"""The contract of persistence backends, as a test class to inherit from.

A backend is complete when its subclass passes::

    class TestMine(PersistenceContract):
        @pytest.fixture
        def backend(self, tmp_path):
            with backends.backend(f"mine://{tmp_path}") as backend:
                yield backend
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from stackl_flow import exceptions as exc
from stackl_flow import states
from stackl_flow import states as st
from stackl_flow.failure import Failure
from stackl_flow.persistence import factory, models, retention, serialization
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.records import AtomUpdate, Checkpoint, Transition, split_values
from stackl_flow.persistence.retention import RetentionPolicy
from stackl_flow.testing.contracts.sizes import SizesContract


def saved_flow(backend: Backend, name: str = "flow") -> models.FlowDetail:
    """Store a flow without atoms in a logbook of its own, and return its detail."""
    book, flow = models.LogBook("book"), models.FlowDetail(name, models.new_uuid())
    book.add(flow)
    with backend.get_connection() as conn:
        conn.save_logbook(book)
    return flow


def with_tasks(backend: Backend, count: int) -> tuple[models.FlowDetail, list[models.TaskDetail]]:
    """Store a flow with tasks t0, t1 and so on, and return their details."""
    flow = saved_flow(backend)
    tasks = [models.TaskDetail(f"t{i}", uuid) for i, uuid in enumerate(models.new_uuids(count))]
    for task in tasks:
        flow.add(task)
    with backend.get_connection() as conn:
        conn.add_atoms(flow.uuid, tasks)
    return flow, tasks


class ModelsContract:
    """Storing and reading logbooks, flows and atoms."""

    @pytest.fixture
    def backend(self) -> Backend:
        """Return an empty and upgraded backend."""
        raise NotImplementedError("define the fixture backend in the subclass")

    def test_upgrade_is_idempotent(self, backend: Backend) -> None:
        """An upgrade of an upgraded backend changes nothing."""
        saved_flow(backend)
        with backend.get_connection() as conn:
            conn.upgrade()
            conn.upgrade()
            conn.validate()
            assert len(conn.get_logbooks()) == 1

    def test_logbook(self, backend: Backend) -> None:
        """A logbook is read as it was saved, with its flows and atoms in their order."""
        book = models.LogBook("book")
        book.meta = {"a": (1, 2), "b": {3: "x"}}
        for name in ("one", "two"):
            flow = models.FlowDetail(name, models.new_uuid())
            flow.meta, flow.state = {"name": name}, states.PENDING
            for uuid in models.new_uuids(20):
                flow.add(models.TaskDetail(f"task {uuid}", uuid))
            book.add(flow)
        with backend.get_connection() as conn:
            with pytest.raises(exc.NotFound, match=book.uuid):
                conn.get_logbook(book.uuid)
            assert conn.save_logbook(book) is book
            found = conn.get_logbook(book.uuid)
            lazy = conn.get_logbook(book.uuid, lazy=True)
        assert (found.name, found.meta, len(lazy)) == ("book", book.meta, 0)
        assert found.created_at is not None
        assert book.created_at is not None
        assert abs(found.created_at - book.created_at).total_seconds() < 0.001
        assert [flow.to_dict() for flow in found] == [flow.to_dict() for flow in book]
        assert [[ad.to_dict() for ad in fd] for fd in found] == [[ad.to_dict() for ad in fd] for fd in book]

    def test_new_logbooks(self, backend: Backend) -> None:
        """New logbooks are stored with their flows and inputs; if one of them is not new, none is."""
        books = []
        for number in range(3):
            book = models.LogBook(f"book {number}")
            flow = models.FlowDetail(f"flow {number}", models.new_uuid())
            flow.meta = {"injected": {"x": number, "y": "y" * 5000}, "mine": number}
            book.add(flow)
            books.append(book)
        with backend.get_connection() as conn:
            conn.add_logbooks(books[:2])
            with pytest.raises(exc.Duplicate):
                conn.add_logbooks(books[1:])
            assert [book.name for book in conn.get_logbooks()] == ["book 0", "book 1"]
            found = [flow for book in conn.get_logbooks() for flow in book]
            assert [flow.name for flow in found] == ["flow 0", "flow 1"]
            assert [flow.meta for flow in found] == [flow.meta for book in books[:2] for flow in book]

    def test_logbook_update(self, backend: Backend) -> None:
        """Saving a logbook again updates what has changed and adds what is new."""
        book, flow = factory.temporary_flow_detail(backend, meta={"x": 1})
        task = models.TaskDetail("t", models.new_uuid())
        flow.add(task)
        with backend.get_connection() as conn:
            conn.save_logbook(book)
            task.put(states.SUCCESS, {"result": 7})
            book.meta = {"again": True}
            unset: Any = None  # TaskFlow's programs may set it
            flow.meta = unset
            book.add(models.FlowDetail("second", models.new_uuid()))
            saved = conn.save_logbook(book)
            assert len(conn.get_logbooks()) == 1
            for found in (saved, conn.get_logbook(book.uuid)):
                assert found.meta == {"again": True}
                assert [fd.name for fd in found] == ["tmp-flow-detail", "second"]
                kept = found.find(flow.uuid)
                assert kept is not None
                assert [(ad.state, ad.results) for ad in kept] == [("SUCCESS", {"result": 7})]

    def test_order_of_logbooks_and_flows(self, backend: Backend) -> None:
        """Logbooks, flows and flow records are listed in the order in which they were saved."""
        flows = [saved_flow(backend, f"f{i}") for i in range(5)]
        flows[1].state = flows[3].state = states.RUNNING
        with backend.get_connection() as conn:
            for flow in flows:
                conn.update_flow_details(flow)
            names = [fd.name for book in conn.get_logbooks() for fd in book]
            rows = conn.list_flow_records()
            assert [row.name for row in rows] == ["f4", "f3", "f2", "f1", "f0"] == names[::-1]
            oldest = conn.list_flow_records(newest_first=False, limit=2)
            assert [row.name for row in oldest] == ["f0", "f1"]
            assert [row.name for row in conn.list_flow_records(state=states.RUNNING)] == ["f3", "f1"]
            assert [fd.uuid for fd in conn.get_flows_for_book(rows[0].book_uuid)] == [flows[4].uuid]
            assert conn.get_flows_for_book("no such book") == []
            assert all(not book for book in conn.get_logbooks(lazy=True))

    def test_destroy_logbook(self, backend: Backend) -> None:
        """Destroying a logbook deletes its flows, atoms and history, and nothing else."""
        keep, (kept,) = with_tasks(backend, 1)
        destroyed, (lost,) = with_tasks(backend, 1)
        with backend.get_connection() as conn:
            book_uuid = conn.get_flow_record(destroyed.uuid).book_uuid
            conn.destroy_logbook(book_uuid)
            for read, uuid in (
                (conn.get_logbook, book_uuid),
                (conn.get_flow_details, destroyed.uuid),
                (conn.get_atom_details, lost.uuid),
                (conn.destroy_logbook, book_uuid),
            ):
                with pytest.raises(exc.NotFound, match=uuid):
                    read(uuid)
            assert conn.get_atoms_for_flow(destroyed.uuid) == []
            assert conn.get_flow_details(keep.uuid).find(kept.uuid) is not None
            conn.clear_all()
            assert conn.get_logbooks() == []
            assert conn.get_atoms_for_flow(keep.uuid) == []

    def test_atom(self, backend: Backend) -> None:
        """All attributes of a task detail are stored."""
        flow, (task,) = with_tasks(backend, 1)
        task.put(states.SUCCESS, {"a": {1, 2}})
        task.put(states.REVERTED, b"undone")
        task.intention, task.version, task.meta = states.REVERT, (1, 2), {"k": None}
        task.progress, task.progress_details = 0.5, {"at": "half"}
        with backend.get_connection() as conn:
            conn.update_atom_details(task)
            found = conn.get_atom_details(task.uuid)
            lazy = conn.get_flow_details(flow.uuid, lazy=True)
        assert found.to_dict() == task.to_dict()
        assert (found.progress, found.progress_details) == (0.5, {"at": "half"})
        assert found.meta == {"k": None, "progress": 0.5, "progress_details": {"at": "half"}}
        assert len(lazy) == 0

    def test_attempt_of_an_atom(self, backend: Backend) -> None:
        """The attempt of an atom and its start are stored with a detail and by a checkpoint."""
        flow, (task,) = with_tasks(backend, 1)
        assert (task.attempt, task.started_at) == (1, None)
        with backend.get_connection() as conn:
            task.attempt, task.started_at = 2, 1700000000.25
            conn.update_atom_details(task)
            found = conn.get_atom_details(task.uuid)
            assert (found.attempt, found.started_at) == (2, 1700000000.25)
            epoch = conn.take_ownership(flow.uuid, "me", 1.0)
            task.attempt, task.started_at = 3, 1700000001.5
            update = serialization.encode_atom(backend.codec, task).update
            conn.checkpoint(checkpoint(flow, epoch, [update], [("t0", None, "RUNNING", 2.0)]))
            found = conn.get_atom_details(task.uuid)
        assert (found.attempt, found.started_at) == (3, 1700000001.5)
        assert models.TaskDetail.from_dict(found.to_dict()).attempt == 3

    def test_details_must_be_saved_first(self, backend: Backend) -> None:
        """A flow or an atom that is not stored cannot be updated."""
        flow = models.FlowDetail("f", models.new_uuid())
        task = models.TaskDetail("t", models.new_uuid())
        flow.add(task)
        with backend.get_connection() as conn:
            with pytest.raises(exc.NotFound, match=flow.uuid):
                conn.update_flow_details(flow)
            with pytest.raises(exc.NotFound, match=task.uuid):
                conn.update_atom_details(task)

    def test_flow_update_adds_atoms(self, backend: Backend) -> None:
        """Updating a flow stores its new atoms and keeps stored atoms that it lacks."""
        stored, (task,) = with_tasks(backend, 1)
        flow = stored.copy(retain_contents=False)
        added = models.RetryDetail("r", models.new_uuid())
        flow.add(added)
        with backend.get_connection() as conn:
            found = conn.update_flow_details(flow)
            assert [ad.uuid for ad in found] == [task.uuid, added.uuid]
            assert [type(ad) for ad in conn.get_atoms_for_flow(flow.uuid)] == [
                models.TaskDetail,
                models.RetryDetail,
            ]

    def test_atoms_cannot_be_added_twice(self, backend: Backend) -> None:
        """Adding an atom that is stored is an error, and none of the atoms is added."""
        flow, (task,) = with_tasks(backend, 1)
        fresh = models.TaskDetail("fresh", models.new_uuid())
        with backend.get_connection() as conn:
            with pytest.raises(exc.Duplicate, match="uuid"):
                conn.add_atoms(flow.uuid, [fresh, task])
            assert [ad.uuid for ad in conn.get_atoms_for_flow(flow.uuid)] == [task.uuid]

    def test_value_that_is_not_serializable(self, backend: Backend) -> None:
        """The error names the value, and nothing changes in the store."""
        flow, (task,) = with_tasks(backend, 1)
        task.put(states.SUCCESS, {"deep": [object()]})
        with backend.get_connection() as conn:
            with pytest.raises(exc.NotSerializable, match=r"(?s)t0.*\['deep'\]\[0\].*object"):
                conn.update_flow_details(flow)
            assert conn.get_atom_details(task.uuid).state is None

    def test_connection_reopens(self, backend: Backend) -> None:
        """A closed connection reopens when it is used, also in another thread."""
        flow = saved_flow(backend)
        conn = backend.get_connection()
        names = [conn.get_flow_record(flow.uuid).name]
        thread = threading.Thread(target=lambda: names.append(conn.get_flow_record(flow.uuid).name))
        thread.start()
        thread.join()
        conn.close()
        conn.close()
        names.append(conn.get_flow_record(flow.uuid).name)
        conn.close()
        assert names == ["flow"] * 3
        assert conn.backend is backend


def save_finished(backend: Backend, name: str, *states: str, job: str | None = None) -> str:
    """Store a logbook of a job, with a flow in each of some states; return its uuid."""
    book = models.LogBook(name)
    book.meta = {} if job is None else {retention.JOB_KEY: job}
    for state in states:
        flow = models.FlowDetail(f"flow {state}", models.new_uuid())
        flow.state = state
        flow.add(models.TaskDetail("t", models.new_uuid()))
        book.add(flow)
    with backend.get_connection() as connection:
        connection.save_logbook(book)
        for flow in book:
            connection.take_ownership(flow.uuid, "me", connection.get_flow_record(flow.uuid).created_at)
    return book.uuid


def logbook_names(backend: Backend) -> set[str]:
    """Return the names of all logbooks."""
    with backend.get_connection() as connection:
        return {book.name for book in connection.get_logbooks(lazy=True)}


class RetentionContract:
    """Pruning of finished logbooks."""

    @pytest.fixture
    def backend(self) -> Backend:
        """Return an empty and upgraded backend."""
        raise NotImplementedError("define the fixture backend in the subclass")

    @pytest.fixture
    def last_finished(self, backend: Backend) -> float:
        """Store logbooks in all states; return the time when the last one finished."""
        save_finished(backend, "done", st.SUCCESS, job="a job")
        save_finished(backend, "undone", st.REVERTED)
        save_finished(backend, "both", st.SUCCESS, st.FAILURE)
        save_finished(backend, "half", st.SUCCESS, st.RUNNING)
        save_finished(backend, "parked", st.REVERT_FAILURE)
        save_finished(backend, "waiting", st.PENDING)
        save_finished(backend, "paused", st.SUSPENDED)
        with backend.get_connection() as connection:
            return max(book.finished_at for book in retention.finished_logbooks(connection))

    def test_finished_logbooks(self, backend: Backend, last_finished: float) -> None:
        """Only finished logbooks are listed, with their failure and their job."""
        with backend.get_connection() as connection:
            books = retention.finished_logbooks(connection)
        found = {book.name: (book.flows, book.failed, book.job) for book in books}
        assert found == {"done": (1, False, "a job"), "undone": (1, True, None), "both": (2, True, None)}
        assert [book.finished_at for book in books] == sorted(book.finished_at for book in books)
        assert books[-1].finished_at == last_finished

    def test_prune_by_age(self, backend: Backend, last_finished: float) -> None:
        """A logbook is deleted with its contents when it has reached the age."""
        assert list(retention.prune(backend, RetentionPolicy(60.0), last_finished)) == []
        pruned = list(retention.prune(backend, RetentionPolicy(60.0), last_finished + 60.0))
        assert {book.name for book in pruned} == {"done", "undone", "both"}
        assert logbook_names(backend) == {"half", "parked", "waiting", "paused"}
        with backend.get_connection() as connection:
            assert len(connection.list_flow_records()) == 5

    def test_dry_run(self, backend: Backend, last_finished: float) -> None:
        """A dry run returns what would be deleted."""
        found = retention.prune(backend, RetentionPolicy(), last_finished, dry_run=True)
        assert {book.name for book in found} == {"done", "undone", "both"}
        assert len(logbook_names(backend)) == 7

    def test_age_of_failed_logbooks(self, backend: Backend, last_finished: float) -> None:
        """Failed logbooks can have another age, or be kept forever."""
        pruned = retention.prune(backend, RetentionPolicy(60.0, failed_max_age=math.inf), last_finished + 1e9)
        assert [book.name for book in pruned] == ["done"]
        pruned = retention.prune(backend, RetentionPolicy(0.0, failed_max_age=100.0), last_finished + 99.0)
        assert list(pruned) == []
        assert {
            book.name
            for book in retention.prune(
                backend, RetentionPolicy(0.0, failed_max_age=100.0), last_finished + 100.0
            )
        } == {
            "undone",
            "both",
        }

    def test_keep_newest(self, backend: Backend, last_finished: float) -> None:
        """That many of the matching logbooks are kept."""
        with backend.get_connection() as connection:
            names = [book.name for book in retention.finished_logbooks(connection)]
        pruned = [
            book.name for book in retention.prune(backend, RetentionPolicy(keep_newest=2), last_finished)
        ]
        assert pruned == names[:1]
        assert list(retention.prune(backend, RetentionPolicy(keep_newest=2), last_finished)) == []

    def test_prune_with_filter(self, backend: Backend, last_finished: float) -> None:
        """Only logbooks that the filter accepts are deleted."""
        pruned = list(
            retention.prune(backend, RetentionPolicy(), last_finished, lambda book: book.job is not None)
        )
        assert [(book.name, book.job) for book in pruned] == [("done", "a job")]

    def test_logbook_with_new_owner_is_kept(self, backend: Backend, last_finished: float) -> None:
        """A logbook whose flow gets an owner while pruning runs is not deleted."""
        pruned = retention.prune(
            backend, RetentionPolicy(), last_finished + 5.0, lambda book: book.name != "done"
        )
        first = next(pruned)
        with backend.get_connection() as connection:
            (other,) = [
                book
                for book in retention.finished_logbooks(connection)
                if book.name not in {"done", first.name}
            ]
            for flow in connection.get_flows_for_book(other.uuid):
                connection.take_ownership(flow.uuid, "other", last_finished + 4.0)
        assert list(pruned) == []
        assert {"done", other.name} <= logbook_names(backend)


#: Transitions as tuples: atom, old state, new state, time, and perhaps who made it ("me" by default) and why.
Transitions = Sequence[tuple[Any, ...]]


def atom_update(atom: models.AtomDetail, state: str, results: str | None = None) -> AtomUpdate:
    """Make the update of an atom to a state, with the JSON text of its results."""
    return AtomUpdate(atom.uuid, state, states.EXECUTE, results, None, None, None, None)


def checkpoint(
    flow: models.FlowDetail,
    epoch: int,
    atoms: Sequence[AtomUpdate] = (),
    transitions: Transitions = (),
    state: str | None = None,
    meta: str | None = None,
) -> Checkpoint:
    """Make a checkpoint of a flow; ``meta`` is JSON text."""
    moved = [Transition(0, *row) for row in transitions]
    moved = [row if row.who is not None else row._replace(who="me") for row in moved]
    rows = [split_values(atom) for atom in atoms]
    updates, values = [row for row, _ in rows], [value for _, values in rows for value in values]
    return Checkpoint(flow.uuid, epoch, state, meta, updates, moved, values)


class CheckpointContract:
    """Checkpoints, ownership and history."""

    def test_checkpoint_is_atomic(self, backend: Backend) -> None:
        """Atoms, flow and history change together."""
        flow, (first, second) = with_tasks(backend, 2)
        with backend.get_connection() as conn:
            epoch = conn.take_ownership(flow.uuid, "me", 1.0)
            atoms = [atom_update(first, states.SUCCESS, "[1]"), atom_update(second, states.RUNNING)]
            transitions: Transitions = [
                (None, "PENDING", "RUNNING", 2.0),
                ("t0", "RUNNING", "SUCCESS", 2.5, "you", "it was done"),
            ]
            conn.checkpoint(checkpoint(flow, epoch, atoms, transitions, states.RUNNING, '{"a":1}'))
        with backend.get_connection() as conn:
            found = conn.get_flow_details(flow.uuid)
            history = conn.get_history(flow.uuid)
        assert (found.state, found.meta) == (states.RUNNING, {"a": 1})
        assert [(atom.state, atom.results) for atom in found] == [("SUCCESS", [1]), ("RUNNING", None)]
        assert [row.columns[:6] for row in history] == [(*transitions[0], "me", None), transitions[1]]
        assert [row.seq for row in history] == [1, 2]

    def test_checkpoint_keeps_flow(self, backend: Backend) -> None:
        """A state or metadata of None keeps the stored value."""
        flow, _ = with_tasks(backend, 1)
        with backend.get_connection() as conn:
            epoch = conn.take_ownership(flow.uuid, "me", 1.0)
            conn.checkpoint(checkpoint(flow, epoch, state=states.RUNNING, meta='{"a":1}'))
            conn.checkpoint(checkpoint(flow, epoch, state=states.SUCCESS))
            conn.checkpoint(checkpoint(flow, epoch, meta='{"a":2}'))
            conn.checkpoint(checkpoint(flow, epoch))
            found = conn.get_flow_details(flow.uuid)
        assert (found.state, found.meta) == (states.SUCCESS, {"a": 2})

    def test_checkpoint_clears_values(self, backend: Backend) -> None:
        """An update replaces all mutable columns: None clears a value."""
        flow, (task,) = with_tasks(backend, 1)
        with backend.get_connection() as conn:
            epoch = conn.take_ownership(flow.uuid, "me", 1.0)
            conn.checkpoint(checkpoint(flow, epoch, [atom_update(task, states.SUCCESS, "1")]))
            conn.checkpoint(checkpoint(flow, epoch, [atom_update(task, states.PENDING)]))
            found = conn.get_atom_details(task.uuid)
        assert (found.state, found.results) == (states.PENDING, None)

    def test_superseded_owner_writes_nothing(self, backend: Backend) -> None:
        """A superseded owner cannot write anything."""
        flow, (task,) = with_tasks(backend, 1)
        with backend.get_connection() as old, backend.get_connection() as new:
            mine = old.take_ownership(flow.uuid, "old", 1.0)
            theirs = new.take_ownership(flow.uuid, "new", 2.0)
            assert theirs == mine + 1
            late = checkpoint(
                flow,
                mine,
                [atom_update(task, states.SUCCESS, "1")],
                [("t0", None, "SUCCESS", 3.0)],
                "X",
                "{}",
            )
            with pytest.raises(exc.OwnershipLost, match=r"(?s)new.*epoch"):
                old.checkpoint(late)
            with pytest.raises(exc.OwnershipLost):
                old.add_atoms(flow.uuid, [models.TaskDetail("late", models.new_uuid())], epoch=mine)
            found = new.get_flow_details(flow.uuid)
            assert [(atom.name, atom.state) for atom in found] == [("t0", None)]
            assert found.state is None
            assert new.get_history(flow.uuid) == []
            new.checkpoint(checkpoint(flow, theirs, [atom_update(task, states.SUCCESS, "1")]))
            assert new.get_atom_details(task.uuid).results == 1

    def test_checkpoint_of_unknown_atom(self, backend: Backend) -> None:
        """A checkpoint with an atom that is not stored writes nothing."""
        flow, (task,) = with_tasks(backend, 1)
        unknown = models.TaskDetail("unknown", models.new_uuid())
        with backend.get_connection() as conn:
            epoch = conn.take_ownership(flow.uuid, "me", 1.0)
            atoms = [atom_update(task, states.SUCCESS, "1"), atom_update(unknown, states.SUCCESS)]
            with pytest.raises(exc.NotFound, match=unknown.uuid):
                conn.checkpoint(
                    checkpoint(flow, epoch, atoms, [("t0", None, "SUCCESS", 1.0)], states.RUNNING)
                )
            assert conn.get_atom_details(task.uuid).state is None
            assert conn.get_history(flow.uuid) == []
            assert conn.get_flow_details(flow.uuid).state is None

    def test_unknown_flow(self, backend: Backend) -> None:
        """All operations on a flow that is not stored fail with its uuid."""
        flow = models.FlowDetail("f", models.new_uuid())
        with backend.get_connection() as conn:
            operations: list[Callable[[], object]] = [
                lambda: conn.take_ownership(flow.uuid, "me", 1.0),
                lambda: conn.take_ownership(flow.uuid, "me", 1.0, lambda _: ()),
                lambda: conn.checkpoint(checkpoint(flow, 1)),
                lambda: conn.get_flow_record(flow.uuid),
                lambda: conn.get_flow_details(flow.uuid),
                lambda: conn.add_atoms(flow.uuid, []),
            ]
            for operation in operations:
                with pytest.raises(exc.NotFound, match=flow.uuid):
                    operation()
            assert conn.get_history(flow.uuid) == []

    def test_owner_in_flow_record(self, backend: Backend) -> None:
        """A flow record has the owner and the epoch."""
        flow = saved_flow(backend)
        with backend.get_connection() as conn:
            before = conn.get_flow_record(flow.uuid)
            conn.take_ownership(flow.uuid, "me", 5.0)
            after = conn.get_flow_record(flow.uuid)
            conn.update_flow_details(flow)
            kept = conn.get_flow_record(flow.uuid)
        assert (before.epoch, before.owner) == (0, None)
        assert (after.epoch, after.owner, after.updated_at) == (1, "me", 5.0)
        assert (kept.epoch, kept.owner) == (1, "me")

    def test_take_ownership_with_missing_atoms(self, backend: Backend) -> None:
        """The callback gets the stored flow and returns atoms to add, in the same transaction."""
        flow, (first,) = with_tasks(backend, 1)
        fresh = models.TaskDetail("fresh", models.new_uuid())
        stored_names: list[str] = []

        def match(stored: models.FlowDetail) -> list[models.AtomDetail]:
            stored_names.extend(atom.name for atom in stored)
            return [fresh]

        with backend.get_connection() as conn:
            epoch = conn.take_ownership(flow.uuid, "me", 5.0, match)
            conn.checkpoint(checkpoint(flow, epoch, [atom_update(fresh, states.SUCCESS, "1")]))
            after = conn.get_flow_record(flow.uuid)
            assert [(atom.uuid, atom.results) for atom in conn.get_atoms_for_flow(flow.uuid)] == [
                (first.uuid, None),
                (fresh.uuid, 1),
            ]
            assert conn.take_ownership(flow.uuid, "you", 6.0, lambda _: ()) == epoch + 1
        assert stored_names == ["t0"]
        assert (after.epoch, after.owner, after.updated_at) == (epoch, "me", 5.0)

    def test_ownership_is_not_taken_if_the_callback_fails(self, backend: Backend) -> None:
        """If the callback raises, the owner does not change."""
        flow, (task,) = with_tasks(backend, 1)

        def match(stored: models.FlowDetail) -> list[models.AtomDetail]:
            raise exc.FlowChanged(stored.name)

        with backend.get_connection() as conn:
            epoch = conn.take_ownership(flow.uuid, "me", 1.0)
            with pytest.raises(exc.FlowChanged):
                conn.take_ownership(flow.uuid, "you", 2.0, match)
            conn.checkpoint(checkpoint(flow, epoch, [atom_update(task, states.SUCCESS, "1")]))
            assert (conn.get_flow_record(flow.uuid).epoch, conn.get_flow_record(flow.uuid).owner) == (
                epoch,
                "me",
            )

    def test_history_pages(self, backend: Backend) -> None:
        """The history of a flow can be read in pages."""
        flow, other = saved_flow(backend), saved_flow(backend)
        with backend.get_connection() as conn:
            epochs = [conn.take_ownership(fd.uuid, "me", 1.0) for fd in (flow, other)]
            for step in range(3):
                for fd, epoch in zip((flow, other), epochs, strict=True):
                    transition = (f"a{step}", None, fd.name, float(step))
                    conn.checkpoint(checkpoint(fd, epoch, transitions=[transition]))
            first = conn.get_history(flow.uuid, limit=2)
            rest = conn.get_history(flow.uuid, after=first[-1].seq)
        assert [row.atom for row in first] == ["a0", "a1"]
        assert [row.atom for row in rest] == ["a2"]
        seqs = [row.seq for row in (*first, *rest)]
        assert seqs == sorted(set(seqs))

    def test_concurrent_owners(self, backend: Backend) -> None:
        """Concurrent owners get different epochs, and only the last one can write."""
        flow, (task,) = with_tasks(backend, 1)
        epochs: list[int] = []

        def take() -> None:
            with backend.get_connection() as conn:
                epochs.extend(conn.take_ownership(flow.uuid, "me", 1.0) for _ in range(5))

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(epochs) == list(range(1, 21))
        with backend.get_connection() as conn:
            for epoch in range(1, 20):
                with pytest.raises(exc.OwnershipLost):
                    conn.checkpoint(checkpoint(flow, epoch, [atom_update(task, states.SUCCESS, "1")]))
            conn.checkpoint(checkpoint(flow, 20, [atom_update(task, states.SUCCESS, "1")]))

    def test_failures(self, backend: Backend) -> None:
        """Failures of tasks and attempts are stored, also if their arguments are not serializable."""
        flow = saved_flow(backend)
        task = models.TaskDetail("t", models.new_uuid())
        retry = models.RetryDetail("r", models.new_uuid())
        failure = Failure.from_exception(ValueError("bad", object()))
        task.put(states.FAILURE, failure)
        task.put(states.REVERT_FAILURE, Failure.from_exception(OSError(5, "disk")))
        retry.put(states.SUCCESS, (1, 2))
        retry.results[-1][1]["t"] = failure
        with backend.get_connection() as conn:
            conn.add_atoms(flow.uuid, [task, retry])
            found_task, found_retry = conn.get_atoms_for_flow(flow.uuid)
        assert isinstance(found_retry, models.RetryDetail)
        assert failure.matches(found_task.failure)
        assert found_task.revert_failure is not None
        assert found_task.revert_failure.check(OSError) is OSError
        assert found_task.revert_failure.exception_args == (5, "disk")
        assert found_retry.last_results == (1, 2)
        assert failure.matches(found_retry.last_failures["t"])


class PersistenceContract(ModelsContract, RetentionContract, CheckpointContract, SizesContract):
    """The whole contract; a subclass defines the fixture ``backend``."""
