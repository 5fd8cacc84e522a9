"""The rows that backends store, and the operations on rows that a backend implements.

Rows are frozen, and their values are JSON text: a backend never sees a value of a user. Times are seconds
since the epoch (UTC).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from stackl_flow import exceptions as exc


class BookRecord(NamedTuple):
    """A stored logbook."""

    uuid: str
    name: str
    meta: str | None
    created_at: float
    updated_at: float | None


class FlowRecord(NamedTuple):
    """A stored flow and its owner.

    Attributes:
        uuid: UUID of the flow.
        book_uuid: UUID of its logbook.
        name: name of the flow.
        state: the state of the flow, or None.
        meta: its metadata as JSON text, or None.
        epoch: how often its ownership was taken; every write of an owner is checked against it.
        owner: the name of the process that took it last, or None.
        created_at: when it was first stored, in seconds since the epoch (UTC).
        updated_at: when its state, metadata or owner changed last, or None.
    """

    uuid: str
    book_uuid: str
    name: str
    state: str | None
    meta: str | None
    epoch: int
    owner: str | None
    created_at: float
    updated_at: float | None


class AtomRecord(NamedTuple):
    """A stored atom; ``kind`` is "TASK_DETAIL" or "RETRY_DETAIL"."""

    uuid: str
    flow_uuid: str
    kind: str
    name: str
    version: str | None
    state: str | None
    intention: str | None
    results: str | None
    failure: str | None
    revert_results: str | None
    revert_failure: str | None
    meta: str | None
    attempt: int = 1
    started_at: float | None = None

    def with_values(self, values: Iterable[Any]) -> AtomRecord:
        """Return this row with the columns that change while the atom runs."""
        return AtomRecord(*self[:5], *values)


class AtomUpdate(NamedTuple):
    """All columns of an atom that change while it runs; ``uuid`` says which atom."""

    uuid: str
    state: str | None
    intention: str | None
    results: str | None
    failure: str | None
    revert_results: str | None
    revert_failure: str | None
    meta: str | None
    attempt: int = 1
    started_at: float | None = None


class Transition(NamedTuple):
    """A change of state in the history of a flow.

    Attributes:
        seq: its number within the flow, from 1; numbers grow, and may have gaps.
        atom: name of the atom; None if the flow itself changed state.
        old: the state before, or None.
        new: the state after.
        at: when it happened, in seconds since the epoch (UTC).
        owner: the name of the process that did it.
    """

    seq: int
    atom: str | None
    old: str | None
    new: str | None
    at: float
    owner: str


class Checkpoint(NamedTuple):
    """What one step of an engine changed. It is written as a whole, and only if the epoch is the owner's.

    Attributes:
        flow_uuid: UUID of the flow.
        epoch: the epoch of the engine's ownership.
        owner: the name of the engine's process, for the history.
        flow_state: the new state of the flow; None leaves the stored one.
        flow_meta: the new metadata of the flow as JSON text; None leaves the stored one.
        atoms: the new values of the atoms that changed.
        transitions: (atom or None, old state, new state, time) of each change of state, in order.
    """

    flow_uuid: str
    epoch: int
    owner: str
    flow_state: str | None
    flow_meta: str | None
    atoms: Sequence[AtomUpdate]
    transitions: Sequence[tuple[str | None, str | None, str | None, float]]


class Changes(NamedTuple):
    """Rows that are written together: logbooks, new or not; new flows and atoms; changed flows and atoms."""

    books: Sequence[BookRecord] = ()
    new_flows: Sequence[FlowRecord] = ()
    flows: Sequence[FlowRecord] = ()
    new_atoms: Sequence[AtomRecord] = ()
    atoms: Sequence[AtomRecord] = ()


class RecordStore(ABC):
    """The operations on rows that a backend implements.

    All except ``_write_checkpoint`` are called inside ``_transaction``.
    """

    @abstractmethod
    def _transaction(self, *, write: bool) -> AbstractContextManager[None]:
        """Hold a transaction on one snapshot: committed at the end, rolled back if the block raises."""

    @abstractmethod
    def _read_books(self, uuid: str | None = None) -> list[BookRecord]:
        """Read one logbook, or all of them, oldest first."""

    @abstractmethod
    def _read_flows(
        self,
        uuid: str | None = None,
        book_uuid: str | None = None,
        state: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[FlowRecord]:
        """Read the flows that match all that is given."""

    @abstractmethod
    def _read_atoms(self, flow_uuid: str) -> Iterable[AtomRecord]:
        """Read the atoms of a flow in the order they were added."""

    @abstractmethod
    def _read_atom(self, uuid: str) -> AtomRecord | None:
        """Read one atom."""

    @abstractmethod
    def _read_transitions(self, flow_uuid: str, after: int, limit: int | None) -> list[Transition]:
        """Read the transitions of a flow after a number, in order."""

    @abstractmethod
    def _apply(self, changes: Changes) -> None:
        """Write rows. Raise `Duplicate` if the UUID of a new row exists."""

    @abstractmethod
    def _set_owner(self, flow_uuid: str, epoch: int, owner: str, at: float) -> None:
        """Write the owner and epoch of a flow."""

    @abstractmethod
    def _delete_book(self, uuid: str) -> bool:
        """Delete a logbook and all that is in it. Return whether there was one."""

    @abstractmethod
    def _delete_all(self) -> None:
        """Delete everything."""

    @abstractmethod
    def _write_checkpoint(self, cp: Checkpoint) -> None:
        """Write a checkpoint in a transaction of its own. The engine waits for this."""

    def _read_flow(self, uuid: str) -> FlowRecord:
        for record in self._read_flows(uuid=uuid):
            return record
        raise not_found("flow", uuid)

    def _read_existing_atom(self, uuid: str) -> AtomRecord:
        record = self._read_atom(uuid)
        if record is None:
            raise not_found("atom", uuid)
        return record


def flow_changes(
    flow: FlowRecord, old: FlowRecord | None, atoms: Sequence[AtomRecord], stored: Iterable[AtomRecord]
) -> Changes:
    """Return the rows to write for a flow and its atoms; atoms that have not changed are left out.

    Args:
        flow: the row of the flow as it should be.
        old: its row as it is stored, or None.
        atoms: the rows of its atoms as they should be.
        stored: the rows as they are stored.

    Raises:
        NotSupported: an atom is stored as one of another kind.
    """
    if old is None:
        return Changes(new_flows=[flow], new_atoms=atoms)
    known = {record.uuid: record for record in stored}
    return Changes(
        flows=[flow],
        new_atoms=[record for record in atoms if record.uuid not in known],
        atoms=[
            check_same_kind(known[record.uuid], record)
            for record in atoms
            if known.get(record.uuid, record) != record
        ],
    )


def check_same_kind(old: AtomRecord, new: AtomRecord) -> AtomRecord:
    """Return the new row of an atom; a task does not become a retry, nor a retry a task.

    Raises:
        NotSupported: the kinds differ.
    """
    if old.kind != new.kind:
        raise exc.NotSupported(
            f"atom '{new.name}' ({new.uuid}) is stored as {old.kind} and cannot become {new.kind}"
        )
    return new


def merge_changes(parts: Sequence[Changes]) -> Changes:
    """Return the changes of several flows as one."""
    return Changes(
        new_flows=[row for part in parts for row in part.new_flows],
        flows=[row for part in parts for row in part.flows],
        new_atoms=[row for part in parts for row in part.new_atoms],
        atoms=[row for part in parts for row in part.atoms],
    )


def not_found(what: str, uuid: str) -> exc.NotFound:
    """Return the error for a "logbook", "flow" or "atom" that is not stored."""
    return exc.NotFound(f"No {what} found with uuid '{uuid}'")


def duplicate(what: str, uuid: str) -> exc.Duplicate:
    """Return the error for a new "flow" or "atom" whose UUID exists."""
    return exc.Duplicate(f"a {what} with uuid '{uuid}' is stored already")


def ownership_lost(flow_uuid: str, held: int, epoch: int, owner: str | None) -> exc.OwnershipLost:
    """Return the error for a writer that no longer owns a flow.

    Args:
        flow_uuid: the flow.
        held: the epoch of the writer.
        epoch: the epoch that is stored.
        owner: the owner that is stored.
    """
    return exc.OwnershipLost(
        f"flow '{flow_uuid}' was taken over by '{owner}' (epoch {epoch}, this process had {held}): "
        f"nothing of this write was stored; leave the flow to its new owner, or load it again to take it back"
    )
