"""What every persistence backend has to do, as tests to be inherited.

A backend is done when this passes::

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

import pytest

from stackl_flow import exceptions as exc
from stackl_flow import states
from stackl_flow import states as st
from stackl_flow.failure import Failure
from stackl_flow.persistence import factory, models, retention
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.records import AtomUpdate, Checkpoint
from stackl_flow.persistence.retention import RetentionPolicy


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


def kept_book(backend: Backend, name: str, *states: str, job: str | None = None) -> str:
    """Store a book with flows in some states.

    Args:
        backend: where.
        name: the book's name.
        states: a flow for each.
        job: the job that it was posted with.

    Returns:
        The book's uuid.
    """
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


def left(backend: Backend) -> set[str]:
    """List the names of the books that are there.

    Args:
        backend: where.

    Returns:
        The names.
    """
    with backend.get_connection() as connection:
        return {book.name for book in connection.get_logbooks(lazy=True)}


class PruningContract:
    """What holds for books that are removed by a rule."""

    @pytest.fixture
    def backend(self) -> Backend:
        """Give an empty backend, upgraded; the subclass has to bring it."""
        raise NotImplementedError("a subclass of the contract brings its own backend fixture")

    @pytest.fixture
    def last(self, backend: Backend) -> float:
        """Store books of every kind, and say when the last of them ended."""
        kept_book(backend, "done", st.SUCCESS, job="a job")
        kept_book(backend, "undone", st.REVERTED)
        kept_book(backend, "both", st.SUCCESS, st.FAILURE)
        kept_book(backend, "half", st.SUCCESS, st.RUNNING)
        kept_book(backend, "parked", st.REVERT_FAILURE)
        kept_book(backend, "waiting", st.PENDING)
        kept_book(backend, "paused", st.SUSPENDED)
        with backend.get_connection() as connection:
            return max(book.finished_at for book in retention.finished_logbooks(connection))

    def test_books_whose_flows_have_ended_are_told(self, backend: Backend, last: float) -> None:
        """No other book is listed; each says whether it failed, and what it was posted with."""
        with backend.get_connection() as connection:
            books = retention.finished_logbooks(connection)
        told = {book.name: (book.flows, book.failed, book.job) for book in books}
        assert told == {"done": (1, False, "a job"), "undone": (1, True, None), "both": (2, True, None)}
        assert [book.finished_at for book in books] == sorted(book.finished_at for book in books)
        assert books[-1].finished_at == last

    def test_a_book_is_kept_for_its_time(self, backend: Backend, last: float) -> None:
        """Before its time nothing goes; then the book goes with all that is in it."""
        assert list(retention.prune(backend, RetentionPolicy(60.0), last)) == []
        gone = list(retention.prune(backend, RetentionPolicy(60.0), last + 60.0))
        assert {book.name for book in gone} == {"done", "undone", "both"}
        assert left(backend) == {"half", "parked", "waiting", "paused"}
        with backend.get_connection() as connection:
            assert len(connection.list_flow_records()) == 5

    def test_nothing_goes_when_it_is_only_asked(self, backend: Backend, last: float) -> None:
        """A dry run tells what would go."""
        told = retention.prune(backend, RetentionPolicy(), last, dry_run=True)
        assert {book.name for book in told} == {"done", "undone", "both"}
        assert len(left(backend)) == 7

    def test_failed_ones_may_be_kept_longer(self, backend: Backend, last: float) -> None:
        """For a time of their own, or for ever."""
        gone = retention.prune(backend, RetentionPolicy(60.0, failed_max_age=math.inf), last + 1e9)
        assert [book.name for book in gone] == ["done"]
        gone = retention.prune(backend, RetentionPolicy(0.0, failed_max_age=100.0), last + 99.0)
        assert list(gone) == []
        assert {
            book.name
            for book in retention.prune(backend, RetentionPolicy(0.0, failed_max_age=100.0), last + 100.0)
        } == {
            "undone",
            "both",
        }

    def test_the_newest_may_be_kept(self, backend: Backend, last: float) -> None:
        """Of those that are meant, so many stay."""
        with backend.get_connection() as connection:
            names = [book.name for book in retention.finished_logbooks(connection)]
        gone = [book.name for book in retention.prune(backend, RetentionPolicy(keep_newest=2), last)]
        assert gone == names[:1]
        assert list(retention.prune(backend, RetentionPolicy(keep_newest=2), last)) == []

    def test_only_some_may_be_meant(self, backend: Backend, last: float) -> None:
        """A rule may be for books of jobs alone."""
        gone = list(retention.prune(backend, RetentionPolicy(), last, lambda book: book.job is not None))
        assert [(book.name, book.job) for book in gone] == [("done", "a job")]

    def test_a_book_that_was_taken_up_meanwhile_stays(self, backend: Backend, last: float) -> None:
        """Whoever begins a flow anew between the look and the removal keeps it."""
        pruned = retention.prune(backend, RetentionPolicy(), last + 5.0, lambda book: book.name != "done")
        first = next(pruned)
        with backend.get_connection() as connection:
            (other,) = [
                book
                for book in retention.finished_logbooks(connection)
                if book.name not in {"done", first.name}
            ]
            for flow in connection.get_flows_for_book(other.uuid):
                connection.take_ownership(flow.uuid, "somebody", last + 4.0)
        assert list(pruned) == []
        assert {"done", other.name} <= left(backend)


Moves = Sequence[tuple[str | None, str | None, str | None, float]]


def move(atom: models.AtomDetail, state: str, results: str | None = None) -> AtomUpdate:
    """Make the move of an atom to a state.

    Args:
        atom: the atom.
        state: where it goes.
        results: the text of what it gave.

    Returns:
        The move.
    """
    return AtomUpdate(atom.uuid, state, states.EXECUTE, results, None, None, None, None)


def checkpoint(
    flow: models.FlowDetail,
    epoch: int,
    atoms: Sequence[AtomUpdate] = (),
    moves: Moves = (),
    state: str | None = None,
    meta: str | None = None,
) -> Checkpoint:
    """Make a checkpoint of a flow.

    Args:
        flow: the flow.
        epoch: the owner's epoch.
        atoms: what changed in atoms.
        moves: what goes to the history.
        state: the flow's new state.
        meta: the text of the flow's new notes.

    Returns:
        The checkpoint.
    """
    return Checkpoint(flow.uuid, epoch, "me", state, meta, list(atoms), list(moves))


class CheckpointContract:
    """What holds for checkpoints, owners and the history."""

    def test_checkpoint_lands_whole(self, backend: Backend) -> None:
        """Atoms, flow and history change together."""
        flow, (first, second) = with_tasks(backend, 2)
        with backend.get_connection() as conn:
            epoch = conn.take_ownership(flow.uuid, "me", 1.0)
            atoms = [move(first, states.SUCCESS, "[1]"), move(second, states.RUNNING)]
            moves: Moves = [(None, "PENDING", "RUNNING", 2.0), ("t0", "RUNNING", "SUCCESS", 2.5)]
            conn.checkpoint(checkpoint(flow, epoch, atoms, moves, states.RUNNING, '{"a":1}'))
        with backend.get_connection() as conn:
            found = conn.get_flow_details(flow.uuid)
            history = conn.get_history(flow.uuid)
        assert (found.state, found.meta) == (states.RUNNING, {"a": 1})
        assert [(atom.state, atom.results) for atom in found] == [("SUCCESS", [1]), ("RUNNING", None)]
        assert [tuple(row[1:]) for row in history] == [(*row, "me") for row in moves]

    def test_checkpoint_leaves_flow_alone(self, backend: Backend) -> None:
        """A flow state or meta of None keeps what is stored."""
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
        """A move says all that can change: what it leaves empty is forgotten."""
        flow, (task,) = with_tasks(backend, 1)
        with backend.get_connection() as conn:
            epoch = conn.take_ownership(flow.uuid, "me", 1.0)
            conn.checkpoint(checkpoint(flow, epoch, [move(task, states.SUCCESS, "1")]))
            conn.checkpoint(checkpoint(flow, epoch, [move(task, states.PENDING)]))
            found = conn.get_atom_details(task.uuid)
        assert (found.state, found.results) == (states.PENDING, None)

    def test_superseded_owner_writes_nothing(self, backend: Backend) -> None:
        """Of an owner whose epoch has passed, nothing lands."""
        flow, (task,) = with_tasks(backend, 1)
        with backend.get_connection() as old, backend.get_connection() as new:
            mine = old.take_ownership(flow.uuid, "old", 1.0)
            theirs = new.take_ownership(flow.uuid, "new", 2.0)
            assert theirs == mine + 1
            late = checkpoint(
                flow, mine, [move(task, states.SUCCESS, "1")], [("t0", None, "SUCCESS", 3.0)], "X", "{}"
            )
            with pytest.raises(exc.OwnershipLost, match=r"(?s)new.*epoch"):
                old.checkpoint(late)
            with pytest.raises(exc.OwnershipLost):
                old.add_atoms(flow.uuid, [models.TaskDetail("late", models.new_uuid())], epoch=mine)
            found = new.get_flow_details(flow.uuid)
            assert [(atom.name, atom.state) for atom in found] == [("t0", None)]
            assert found.state is None
            assert new.get_history(flow.uuid) == []
            new.checkpoint(checkpoint(flow, theirs, [move(task, states.SUCCESS, "1")]))
            assert new.get_atom_details(task.uuid).results == 1

    def test_checkpoint_of_unknown_atom(self, backend: Backend) -> None:
        """A checkpoint with an atom that is not stored lands not at all."""
        flow, (task,) = with_tasks(backend, 1)
        stranger = models.TaskDetail("stranger", models.new_uuid())
        with backend.get_connection() as conn:
            epoch = conn.take_ownership(flow.uuid, "me", 1.0)
            atoms = [move(task, states.SUCCESS, "1"), move(stranger, states.SUCCESS)]
            with pytest.raises(exc.NotFound, match=stranger.uuid):
                conn.checkpoint(
                    checkpoint(flow, epoch, atoms, [("t0", None, "SUCCESS", 1.0)], states.RUNNING)
                )
            assert conn.get_atom_details(task.uuid).state is None
            assert conn.get_history(flow.uuid) == []
            assert conn.get_flow_details(flow.uuid).state is None

    def test_unknown_flow(self, backend: Backend) -> None:
        """Whatever is done to a flow that is not stored, the error names it."""
        flow = models.FlowDetail("f", models.new_uuid())
        with backend.get_connection() as conn:
            verbs: list[Callable[[], object]] = [
                lambda: conn.take_ownership(flow.uuid, "me", 1.0),
                lambda: conn.take_ownership(flow.uuid, "me", 1.0, lambda _: ()),
                lambda: conn.checkpoint(checkpoint(flow, 1)),
                lambda: conn.get_flow_record(flow.uuid),
                lambda: conn.get_flow_details(flow.uuid),
                lambda: conn.add_atoms(flow.uuid, []),
            ]
            for verb in verbs:
                with pytest.raises(exc.NotFound, match=flow.uuid):
                    verb()
            assert conn.get_history(flow.uuid) == []

    def test_owner_is_seen(self, backend: Backend) -> None:
        """The row of a flow tells who owns it and by which epoch."""
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

    def test_taken_up_with_new_atoms(self, backend: Backend) -> None:
        """Who takes a flow up is shown what is stored of it, and stores what is missing."""
        flow, (first,) = with_tasks(backend, 1)
        fresh = models.TaskDetail("fresh", models.new_uuid())
        shown: list[str] = []

        def match(stored: models.FlowDetail) -> list[models.AtomDetail]:
            shown.extend(atom.name for atom in stored)
            return [fresh]

        with backend.get_connection() as conn:
            epoch = conn.take_ownership(flow.uuid, "me", 5.0, match)
            conn.checkpoint(checkpoint(flow, epoch, [move(fresh, states.SUCCESS, "1")]))
            after = conn.get_flow_record(flow.uuid)
            assert [(atom.uuid, atom.results) for atom in conn.get_atoms_for_flow(flow.uuid)] == [
                (first.uuid, None),
                (fresh.uuid, 1),
            ]
            assert conn.take_ownership(flow.uuid, "you", 6.0, lambda _: ()) == epoch + 1
        assert shown == ["t0"]
        assert (after.epoch, after.owner, after.updated_at) == (epoch, "me", 5.0)

    def test_not_taken_up_when_refused(self, backend: Backend) -> None:
        """A flow that does not match what is to run stays whose it was."""
        flow, (task,) = with_tasks(backend, 1)

        def match(stored: models.FlowDetail) -> list[models.AtomDetail]:
            raise exc.FlowChanged(stored.name)

        with backend.get_connection() as conn:
            epoch = conn.take_ownership(flow.uuid, "me", 1.0)
            with pytest.raises(exc.FlowChanged):
                conn.take_ownership(flow.uuid, "you", 2.0, match)
            conn.checkpoint(checkpoint(flow, epoch, [move(task, states.SUCCESS, "1")]))
            assert (conn.get_flow_record(flow.uuid).epoch, conn.get_flow_record(flow.uuid).owner) == (
                epoch,
                "me",
            )

    def test_history_in_pages(self, backend: Backend) -> None:
        """The history of one flow can be read on from where one was."""
        flow, other = saved_flow(backend), saved_flow(backend)
        with backend.get_connection() as conn:
            epochs = [conn.take_ownership(fd.uuid, "me", 1.0) for fd in (flow, other)]
            for step in range(3):
                for fd, epoch in zip((flow, other), epochs, strict=True):
                    conn.checkpoint(checkpoint(fd, epoch, moves=[(f"a{step}", None, fd.name, float(step))]))
            first = conn.get_history(flow.uuid, limit=2)
            rest = conn.get_history(flow.uuid, after=first[-1].seq)
        assert [row.atom for row in first] == ["a0", "a1"]
        assert [row.atom for row in rest] == ["a2"]
        seqs = [row.seq for row in (*first, *rest)]
        assert seqs == sorted(set(seqs))

    def test_one_winner_among_threads(self, backend: Backend) -> None:
        """Of many that take a flow at once each gets an epoch of its own, and only the last can write."""
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
                    conn.checkpoint(checkpoint(flow, epoch, [move(task, states.SUCCESS, "1")]))
            conn.checkpoint(checkpoint(flow, 20, [move(task, states.SUCCESS, "1")]))

    def test_failures_survive(self, backend: Backend) -> None:
        """Failures of tasks and of attempts come back, also when their arguments have no JSON form."""
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


class PersistenceContract(BooksContract, PruningContract, CheckpointContract):
    """The whole contract; a subclass brings the ``backend`` fixture."""
