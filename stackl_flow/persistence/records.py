"""What passes between this library and a backend: frozen rows whose values are text already.

A backend never sees a user's value, only the JSON text of it. Times are seconds since 1970 in UTC.

The handful of dumb operations on text rows that a backend has to offer.

What has to be written so that storage agrees with a detail.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from stackl_flow import exceptions as exc


class BookRecord(NamedTuple):
    """A log book as it is stored."""

    uuid: str
    name: str
    meta: str | None
    created_at: float
    updated_at: float | None


class FlowRecord(NamedTuple):
    """A flow as it is stored, with its owner: the epoch grows by one each time that somebody takes it."""

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
    """An atom as it is stored; ``kind`` is "TASK_DETAIL" or "RETRY_DETAIL"."""

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


class AtomUpdate(NamedTuple):
    """All that can change in an atom's row while it runs."""

    uuid: str
    state: str | None
    intention: str | None
    results: str | None
    failure: str | None
    revert_results: str | None
    revert_failure: str | None
    meta: str | None


class Transition(NamedTuple):
    """One move in the history of a flow; ``atom`` is None when the flow itself moved."""

    seq: int
    atom: str | None
    old: str | None
    new: str | None
    at: float
    owner: str


class Checkpoint(NamedTuple):
    """What one step of an engine changed; it lands whole, and only while the epoch is still the owner's.

    ``transitions`` are (atom or None, old state, new state, at). A ``flow_state`` or ``flow_meta`` of None
    leaves the stored one.
    """

    flow_uuid: str
    epoch: int
    owner: str
    flow_state: str | None
    flow_meta: str | None
    atoms: Sequence[AtomUpdate]
    transitions: Sequence[tuple[str | None, str | None, str | None, float]]


class Changes(NamedTuple):
    """Rows to be written together: books new or changed, flows and atoms new, flows and atoms changed."""

    books: Sequence[BookRecord] = ()
    new_flows: Sequence[FlowRecord] = ()
    flows: Sequence[FlowRecord] = ()
    new_atoms: Sequence[AtomRecord] = ()
    atoms: Sequence[AtomRecord] = ()


def not_found(what: str, uuid: str) -> exc.NotFound:
    """Make the error for something that is not stored.

    Args:
        what: "log book", "flow" or "atom".
        uuid: its identity.

    Returns:
        The error, to be raised.
    """
    return exc.NotFound(f"No {what} found with uuid '{uuid}'")


def ownership_lost(flow_uuid: str, held: int, epoch: int, owner: str | None) -> exc.OwnershipLost:
    """Make the error for a writer that is no longer the flow's owner.

    Args:
        flow_uuid: the flow.
        held: the epoch that the writer holds.
        epoch: the epoch that is stored.
        owner: who holds it.

    Returns:
        The error, to be raised.
    """
    return exc.OwnershipLost(
        f"flow '{flow_uuid}' was taken over by '{owner}' (epoch {epoch}, ours was {held}): "
        f"nothing of this write was stored; leave the flow to its new owner, or load it again to take it back"
    )


class Rows(ABC):
    """Rows of books, flows, atoms and moves, written and read as they are.

    All but ``_write_checkpoint`` are called inside ``_transaction``.
    """

    @abstractmethod
    def _transaction(self, *, write: bool) -> AbstractContextManager[None]:
        """Open a transaction that sees one moment; kept at the end, undone when the block raises."""

    @abstractmethod
    def _read_books(self, uuid: str | None = None) -> list[BookRecord]:
        """Read one book, or all of them, oldest first."""

    @abstractmethod
    def _read_flows(
        self,
        uuid: str | None = None,
        book_uuid: str | None = None,
        state: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[FlowRecord]:
        """Read the flows for which all that is given holds."""

    @abstractmethod
    def _read_atoms(self, flow_uuid: str) -> Iterable[AtomRecord]:
        """Read a flow's atoms in the order they were added."""

    @abstractmethod
    def _read_atom(self, uuid: str) -> AtomRecord | None:
        """Read one atom."""

    @abstractmethod
    def _read_transitions(self, flow_uuid: str, after: int, limit: int | None) -> list[Transition]:
        """Read a flow's moves in order."""

    @abstractmethod
    def _apply(self, changes: Changes) -> None:
        """Write rows. Raise Duplicate when a new row's uuid is taken."""

    @abstractmethod
    def _set_owner(self, flow_uuid: str, epoch: int, owner: str, at: float) -> None:
        """Write a flow's owner and epoch."""

    @abstractmethod
    def _delete_book(self, uuid: str) -> bool:
        """Delete a book and all below it. Say whether there was one."""

    @abstractmethod
    def _delete_all(self) -> None:
        """Delete everything."""

    @abstractmethod
    def _write_checkpoint(self, cp: Checkpoint) -> None:
        """Do a checkpoint in a transaction of its own: this is what the engine waits for."""

    def _one_flow(self, uuid: str) -> FlowRecord:
        for record in self._read_flows(uuid=uuid):
            return record
        raise not_found("flow", uuid)

    def _one_atom(self, uuid: str) -> AtomRecord:
        record = self._read_atom(uuid)
        if record is None:
            raise not_found("atom", uuid)
        return record


def flow_changes(
    flow: FlowRecord, old: FlowRecord | None, atoms: Sequence[AtomRecord], stored: Iterable[AtomRecord]
) -> Changes:
    """Compare a flow and its atoms with what is stored of them.

    Args:
        flow: the flow's row as it should be.
        old: its row as it is, or None.
        atoms: the rows of its atoms as they should be.
        stored: the rows as they are.

    Returns:
        The rows to write; rows that are the same already are not among them.

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
            same_kind(known[record.uuid], record)
            for record in atoms
            if known.get(record.uuid, record) != record
        ],
    )


def same_kind(old: AtomRecord, new: AtomRecord) -> AtomRecord:
    """Refuse to make a retry of a stored task, or a task of a retry.

    Args:
        old: the row as it is.
        new: the row as it should be.

    Returns:
        The new row.

    Raises:
        NotSupported: the kinds differ.
    """
    if old.kind != new.kind:
        raise exc.NotSupported(
            f"atom '{new.name}' ({new.uuid}) is stored as {old.kind} and cannot become {new.kind}"
        )
    return new


def join(parts: Sequence[Changes]) -> Changes:
    """Put the changes of several flows together.

    Args:
        parts: the changes.

    Returns:
        One set of changes.
    """
    return Changes(
        new_flows=[row for part in parts for row in part.new_flows],
        flows=[row for part in parts for row in part.flows],
        new_atoms=[row for part in parts for row in part.new_atoms],
        atoms=[row for part in parts for row in part.atoms],
    )
