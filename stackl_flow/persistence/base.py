"""What every backend is: a place that hands out connections.

The public verbs stand in ``connection``, once for all; a backend brings the dumb operations of ``rows``. A
connection belongs to one thread at a time; a backend may be shared, each thread with a connection of its own.
Every verb that writes is one transaction: all of it is durable when the verb returns, or none of it.

The public verbs on what is stored, said once for all backends.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from stackl_flow import codec as codecs
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.codec import TextCodec
from stackl_flow.persistence import serialization
from stackl_flow.persistence.models import AtomDetail, FlowDetail, LogBook
from stackl_flow.persistence.records import (
    AtomRecord,
    AtomUpdate,
    BookRecord,
    Changes,
    Checkpoint,
    FlowRecord,
    Rows,
    Transition,
    flow_changes,
    join,
    not_found,
    ownership_lost,
    same_kind,
)

#: Receives a flow as it is stored, and returns the atoms to add to it.
MissingAtoms = Callable[[FlowDetail], Iterable[AtomDetail]]

__all__ = [
    "AtomRecord",
    "AtomUpdate",
    "Backend",
    "BookRecord",
    "Changes",
    "Checkpoint",
    "Connection",
    "FlowRecord",
    "Rows",
    "Transition",
]


class Backend(ABC):
    """A place where flows are remembered.

    Args:
        conf: the settings, with the address under "connection".
        codec: makes text of values and values of text; the shared one if left out.
        clock: tells when rows were made.
    """

    def __init__(
        self, conf: Mapping[str, Any] | None = None, codec: TextCodec = codecs.DEFAULT, clock: Clock = SYSTEM
    ) -> None:
        self.conf = dict(conf or {})
        self.codec = codec
        self.clock = clock

    @property
    @abstractmethod
    def name(self) -> str:
        """What to call this place in messages, without any password."""

    @abstractmethod
    def get_connection(self) -> Connection:
        """Make a connection, to be used by one thread at a time.

        Returns:
            The connection; close it after use.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of all that this backend holds."""

    def join_transaction(self, connection: Any) -> Backend:
        """Give a backend whose writes are part of a transaction of the caller's own, where that can be.

        Args:
            connection: the caller's connection, in a transaction.

        Returns:
            A backend that writes by that connection, if it leads to the same SQL database; else this one,
            whose writes are durable at once.

        Raises:
            InvalidFormat: the connection is closed, or no connection.
        """
        del connection
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Connection(Rows):
    """The verbs on stored books, flows and atoms.

    Args:
        backend: the place this connection leads to.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._codec = backend.codec

    @property
    def backend(self) -> Backend:
        """The place this connection leads to."""
        return self._backend

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Let go of what this connection holds; the next verb opens it again."""

    @abstractmethod
    def upgrade(self) -> None:
        """Bring the schema to the version of this code; nothing happens if it is there.

        Raises:
            IncompatibleVersion: a newer version of this library made it.
        """

    @abstractmethod
    def validate(self) -> None:
        """Check that the place can be used by this code.

        Raises:
            StorageFailure: it cannot; the message tells what to do.
        """

    def clear_all(self) -> None:
        """Delete every book and all that is in it."""
        with self._transaction(write=True):
            self._delete_all()

    def save_logbook(self, book: LogBook) -> LogBook:
        """Store a book with its flows and their atoms, over what is stored of them.

        Args:
            book: the book.

        Returns:
            The book as it is stored now.
        """
        at = self._backend.clock.now()
        with self._transaction(write=True):
            known = bool(self._read_books(book.uuid))
            parts = [self._changes(fd, book.uuid, at) for fd in book]
            self._apply(join(parts)._replace(books=[serialization.book_record(self._codec, book, at)]))
            return self._book(self._read_books(book.uuid)[0]) if known else book

    def get_logbook(self, book_uuid: str, lazy: bool = False) -> LogBook:
        """Read a book.

        Args:
            book_uuid: its identity.
            lazy: leave its flows out.

        Returns:
            The book.

        Raises:
            NotFound: there is none.
        """
        with self._transaction(write=False):
            for record in self._read_books(book_uuid):
                return self._book(record, lazy)
        raise not_found("log book", book_uuid)

    def get_logbooks(self, lazy: bool = False) -> list[LogBook]:
        """Read all books.

        Args:
            lazy: leave their flows out.

        Returns:
            The books, oldest first.
        """
        with self._transaction(write=False):
            return [self._book(record, lazy) for record in self._read_books()]

    def destroy_logbook(self, book_uuid: str) -> None:
        """Delete a book and all that is in it.

        Args:
            book_uuid: its identity.

        Raises:
            NotFound: there is none.
        """
        with self._transaction(write=True):
            if not self._delete_book(book_uuid):
                raise not_found("log book", book_uuid)

    def get_flows_for_book(self, book_uuid: str, lazy: bool = False) -> list[FlowDetail]:
        """Read the flows of a book.

        Args:
            book_uuid: the book's identity.
            lazy: leave their atoms out.

        Returns:
            The flow details, oldest first; none if there is no such book.
        """
        with self._transaction(write=False):
            return [self._flow(record, lazy) for record in self._read_flows(book_uuid=book_uuid)]

    def get_flow_details(self, fd_uuid: str, lazy: bool = False) -> FlowDetail:
        """Read a flow.

        Args:
            fd_uuid: its identity.
            lazy: leave its atoms out.

        Returns:
            The flow detail.

        Raises:
            NotFound: there is none.
        """
        with self._transaction(write=False):
            return self._flow(self._one_flow(fd_uuid), lazy)

    def update_flow_details(self, flow_detail: FlowDetail) -> FlowDetail:
        """Store a flow's state and notes, and its atoms, new ones too.

        Args:
            flow_detail: the flow.

        Returns:
            The flow as it is stored now.

        Raises:
            NotFound: it was never saved in a book.
        """
        with self._transaction(write=True):
            book_uuid = self._one_flow(flow_detail.uuid).book_uuid
            self._apply(self._changes(flow_detail, book_uuid, self._backend.clock.now()))
            return self._flow(self._one_flow(flow_detail.uuid))

    def get_flow_record(self, flow_uuid: str) -> FlowRecord:
        """Read a flow's row: its state, owner and epoch.

        Args:
            flow_uuid: its identity.

        Returns:
            The row.

        Raises:
            NotFound: there is none.
        """
        with self._transaction(write=False):
            return self._one_flow(flow_uuid)

    def list_flow_records(
        self, state: str | None = None, limit: int | None = None, newest_first: bool = True
    ) -> list[FlowRecord]:
        """Read the rows of many flows.

        Args:
            state: only flows in this state.
            limit: at most so many.
            newest_first: begin with the flow saved last.

        Returns:
            The rows.
        """
        with self._transaction(write=False):
            return self._read_flows(state=state, limit=limit, newest_first=newest_first)

    def take_ownership(
        self, flow_uuid: str, owner: str, at: float, missing_atoms: MissingAtoms | None = None
    ) -> int:
        """Become the owner of a flow, and store the atoms that it lacks, in one transaction.

        Every later write of the previous owner raises `OwnershipLost`.

        Args:
            flow_uuid: UUID of the flow.
            owner: name of the new owner, for people to read.
            at: time of the change, in seconds since the epoch (UTC).
            missing_atoms: receives the stored flow and returns the atoms to add. It may be called again, with
                what is stored by then. If it raises, the owner does not change.

        Returns:
            The new epoch, to be passed with every checkpoint.

        Raises:
            NotFound: there is no such flow.
        """
        with self._transaction(write=True):
            record = self._one_flow(flow_uuid)
            if missing_atoms is not None:
                added = serialization.atom_records(self._codec, flow_uuid, missing_atoms(self._flow(record)))
                if added:
                    self._apply(Changes(new_atoms=added))
            self._set_owner(flow_uuid, record.epoch + 1, owner, at)
            return record.epoch + 1

    def get_history(self, flow_uuid: str, after: int = 0, limit: int | None = None) -> list[Transition]:
        """Read the moves of a flow and its atoms, in the order they were made.

        Args:
            flow_uuid: the flow.
            after: only moves with a higher ``seq``.
            limit: at most so many.

        Returns:
            The moves.
        """
        with self._transaction(write=False):
            return self._read_transitions(flow_uuid, after, limit)

    def get_atoms_for_flow(self, fd_uuid: str) -> list[AtomDetail]:
        """Read the atoms of a flow.

        Args:
            fd_uuid: the flow's identity.

        Returns:
            The atom details, in the order they were added; none if there is no such flow.
        """
        with self._transaction(write=False):
            return [serialization.atom_detail(self._codec, record) for record in self._read_atoms(fd_uuid)]

    def get_atom_details(self, ad_uuid: str) -> AtomDetail:
        """Read an atom.

        Args:
            ad_uuid: its identity.

        Returns:
            The atom detail.

        Raises:
            NotFound: there is none.
        """
        with self._transaction(write=False):
            return serialization.atom_detail(self._codec, self._one_atom(ad_uuid))

    def update_atom_details(self, atom_detail: AtomDetail) -> AtomDetail:
        """Store an atom.

        Args:
            atom_detail: the atom.

        Returns:
            The atom as it is stored now.

        Raises:
            NotFound: it was never saved in a flow.
        """
        with self._transaction(write=True):
            old = self._one_atom(atom_detail.uuid)
            (new,) = serialization.atom_records(self._codec, old.flow_uuid, [atom_detail])
            self._apply(Changes(atoms=[same_kind(old, new)]))
            return serialization.atom_detail(self._codec, new)

    def add_atoms(self, flow_uuid: str, details: Iterable[AtomDetail], epoch: int | None = None) -> None:
        """Store many new atoms of a flow at once.

        Args:
            flow_uuid: the flow.
            details: the atoms.
            epoch: the epoch of the caller, checked when given.

        Raises:
            NotFound: there is no such flow.
            OwnershipLost: somebody else owns the flow now.
        """
        records = serialization.atom_records(self._codec, flow_uuid, details)
        with self._transaction(write=True):
            flow = self._one_flow(flow_uuid)
            if epoch is not None and epoch != flow.epoch:
                raise ownership_lost(flow_uuid, epoch, flow.epoch, flow.owner)
            self._apply(Changes(new_atoms=records))

    def checkpoint(self, cp: Checkpoint) -> None:
        """Store what one step of an engine changed, all of it or nothing.

        Args:
            cp: the changes, with the epoch of the engine.

        Raises:
            OwnershipLost: somebody else owns the flow now.
            NotFound: the flow, or an atom in the checkpoint, is not stored.
        """
        self._write_checkpoint(cp)

    def _flow(self, record: FlowRecord, lazy: bool = False) -> FlowDetail:
        return serialization.flow_detail(self._codec, record, () if lazy else self._read_atoms(record.uuid))

    def _book(self, record: BookRecord, lazy: bool = False) -> LogBook:
        flows = () if lazy else self._read_flows(book_uuid=record.uuid)
        return serialization.log_book(self._codec, record, [self._flow(flow) for flow in flows])

    def _changes(self, fd: FlowDetail, book_uuid: str, at: float) -> Changes:
        old = next(iter(self._read_flows(uuid=fd.uuid)), None)
        stored = () if old is None else self._read_atoms(fd.uuid)
        flow = serialization.flow_record(self._codec, book_uuid, fd, at, old)
        return flow_changes(flow, old, serialization.atom_records(self._codec, fd.uuid, fd), stored)
