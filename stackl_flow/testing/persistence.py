"""What every persistence backend has to do, as tests to be inherited.

A backend is done when this passes::

    class TestMine(PersistenceContract):
        @pytest.fixture
        def backend(self, tmp_path):
            with backends.backend(f"mine://{tmp_path}") as backend:
                yield backend
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import pytest

from stackl_flow import exceptions as exc
from stackl_flow import states
from stackl_flow.failure import Failure
from stackl_flow.persistence import models
from stackl_flow.persistence.base import AtomUpdate, Backend, Checkpoint
from stackl_flow.testing.books import BooksContract, saved_flow, with_tasks
from stackl_flow.testing.pruning import PruningContract

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
