"""The handful of dumb operations on text rows that a backend has to offer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager

from stackl_flow import exceptions as exc
from stackl_flow.persistence.records import (
    AtomRecord,
    BookRecord,
    Changes,
    Checkpoint,
    FlowRecord,
    Transition,
)


def missing(what: str, uuid: str) -> exc.NotFound:
    """Make the error for something that is not stored.

    Args:
        what: "log book", "flow" or "atom".
        uuid: its identity.

    Returns:
        The error, to be raised.
    """
    return exc.NotFound(f"No {what} found with uuid '{uuid}'")


def lost(flow_uuid: str, held: int, epoch: int, owner: str | None) -> exc.OwnershipLost:
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

    All but ``_land`` are called inside ``_transaction``.
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
    def _land(self, cp: Checkpoint) -> None:
        """Do a checkpoint in a transaction of its own: this is what the engine waits for."""

    def _one_flow(self, uuid: str) -> FlowRecord:
        for record in self._read_flows(uuid=uuid):
            return record
        raise missing("flow", uuid)

    def _one_atom(self, uuid: str) -> AtomRecord:
        record = self._read_atom(uuid)
        if record is None:
            raise missing("atom", uuid)
        return record
