"""The part of the persistence contract that is about books, flows and atoms at rest."""

from __future__ import annotations

import threading

import pytest

from stackl_flow import exceptions as exc
from stackl_flow import states
from stackl_flow.persistence import factory, models
from stackl_flow.persistence.base import Backend


def saved_flow(backend: Backend, name: str = "flow") -> models.FlowDetail:
    """Store a flow without atoms, in a book of its own.

    Args:
        backend: where.
        name: the flow's name.

    Returns:
        Its detail.
    """
    book, flow = models.LogBook("book"), models.FlowDetail(name, models.new_uuid())
    book.add(flow)
    with backend.get_connection() as conn:
        conn.save_logbook(book)
    return flow


def with_tasks(backend: Backend, count: int) -> tuple[models.FlowDetail, list[models.TaskDetail]]:
    """Store a flow with tasks t0, t1, and so on.

    Args:
        backend: where.
        count: how many tasks.

    Returns:
        The details of the flow and of its tasks.
    """
    flow = saved_flow(backend)
    tasks = [models.TaskDetail(f"t{i}", uuid) for i, uuid in enumerate(models.new_uuids(count))]
    for task in tasks:
        flow.add(task)
    with backend.get_connection() as conn:
        conn.add_atoms(flow.uuid, tasks)
    return flow, tasks


class BooksContract:
    """What holds for books, flows and atoms at rest."""

    @pytest.fixture
    def backend(self) -> Backend:
        """Give an empty backend, upgraded; the subclass has to bring it."""
        raise NotImplementedError("a subclass of the contract brings its own backend fixture")

    def test_upgrade_twice(self, backend: Backend) -> None:
        """Upgrading is harmless when there is nothing to do."""
        saved_flow(backend)
        with backend.get_connection() as conn:
            conn.upgrade()
            conn.upgrade()
            conn.validate()
            assert len(conn.get_logbooks()) == 1

    def test_book_comes_back(self, backend: Backend) -> None:
        """A book is read as it was saved, with all that is in it, in its order."""
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

    def test_book_saved_again(self, backend: Backend) -> None:
        """Saving a book again changes what changed and adds what is new."""
        book, flow = factory.temporary_flow_detail(backend, meta={"x": 1})
        task = models.TaskDetail("t", models.new_uuid())
        flow.add(task)
        with backend.get_connection() as conn:
            conn.save_logbook(book)
            task.put(states.SUCCESS, {"result": 7})
            book.meta = {"again": True}
            book.add(models.FlowDetail("second", models.new_uuid()))
            saved = conn.save_logbook(book)
            assert len(conn.get_logbooks()) == 1
            for found in (saved, conn.get_logbook(book.uuid)):
                assert found.meta == {"again": True}
                assert [fd.name for fd in found] == ["tmp-flow-detail", "second"]
                kept = found.find(flow.uuid)
                assert kept is not None
                assert [(ad.state, ad.results) for ad in kept] == [("SUCCESS", {"result": 7})]

    def test_books_and_flows_in_order(self, backend: Backend) -> None:
        """Books, flows and rows of flows are listed in the order in which they were saved."""
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

    def test_book_destroyed(self, backend: Backend) -> None:
        """Destroying a book takes its flows, atoms and history along, and nothing else."""
        keep, (kept,) = with_tasks(backend, 1)
        gone, (lost,) = with_tasks(backend, 1)
        with backend.get_connection() as conn:
            book_uuid = conn.get_flow_record(gone.uuid).book_uuid
            conn.destroy_logbook(book_uuid)
            for read, uuid in (
                (conn.get_logbook, book_uuid),
                (conn.get_flow_details, gone.uuid),
                (conn.get_atom_details, lost.uuid),
                (conn.destroy_logbook, book_uuid),
            ):
                with pytest.raises(exc.NotFound, match=uuid):
                    read(uuid)
            assert conn.get_atoms_for_flow(gone.uuid) == []
            assert conn.get_flow_details(keep.uuid).find(kept.uuid) is not None
            conn.clear_all()
            assert conn.get_logbooks() == []
            assert conn.get_atoms_for_flow(keep.uuid) == []

    def test_atom_comes_back(self, backend: Backend) -> None:
        """All that a task's detail knows is stored."""
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

    def test_details_must_be_saved_first(self, backend: Backend) -> None:
        """A flow needs its book and an atom its flow before either can be updated."""
        flow = models.FlowDetail("f", models.new_uuid())
        task = models.TaskDetail("t", models.new_uuid())
        flow.add(task)
        with backend.get_connection() as conn:
            with pytest.raises(exc.NotFound, match=flow.uuid):
                conn.update_flow_details(flow)
            with pytest.raises(exc.NotFound, match=task.uuid):
                conn.update_atom_details(task)

    def test_flow_update_adds_atoms(self, backend: Backend) -> None:
        """Updating a flow stores the atoms that are new in it and keeps those it does not know."""
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
        """An atom that is stored is not added again, and neither are those that came with it."""
        flow, (task,) = with_tasks(backend, 1)
        fresh = models.TaskDetail("fresh", models.new_uuid())
        with backend.get_connection() as conn:
            with pytest.raises(exc.Duplicate, match="uuid"):
                conn.add_atoms(flow.uuid, [fresh, task])
            assert [ad.uuid for ad in conn.get_atoms_for_flow(flow.uuid)] == [task.uuid]

    def test_value_without_json(self, backend: Backend) -> None:
        """A result that has no JSON form is refused by name, and what was stored stays."""
        flow, (task,) = with_tasks(backend, 1)
        task.put(states.SUCCESS, {"deep": [object()]})
        with backend.get_connection() as conn:
            with pytest.raises(exc.NotSerializable, match=r"(?s)t0.*\['deep'\]\[0\].*object"):
                conn.update_flow_details(flow)
            assert conn.get_atom_details(task.uuid).state is None

    def test_connection_opens_again(self, backend: Backend) -> None:
        """A connection that was closed opens again when it is used, also in another thread."""
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
