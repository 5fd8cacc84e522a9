"""Backends store flows; their connections read and write logbooks, flows and atoms.

A backend is shared by threads, and each thread uses a connection of its own. Every method that writes is one
transaction: when it returns, all of it is durable; when it raises, none of it is stored.

A subclass implements the operations on rows (see `records.RecordStore`); the public methods are here.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from stackl_flow import codec as codecs
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.codec import TextCodec
from stackl_flow.kv.items import text_size
from stackl_flow.persistence import serialization
from stackl_flow.persistence.metadata import FlowMeta
from stackl_flow.persistence.models import AtomDetail, FlowDetail, LogBook
from stackl_flow.persistence.records import (
    AtomRecord,
    AtomRows,
    AttemptRow,
    BookRecord,
    Changes,
    Checkpoint,
    FlowRecord,
    InputRow,
    RecordStore,
    Transition,
    atom_changes,
    flow_changes,
    has_stored_values,
    merge_changes,
    not_found,
    ownership_lost,
    with_stored_values,
)

__all__ = ["Backend", "Connection", "MissingAtoms"]

#: Receives a flow as it is stored, and returns the atoms to add to it.
MissingAtoms = Callable[[FlowDetail], Iterable[AtomDetail]]


class Backend(ABC):
    """Stores flows. Threads may share it; each uses a connection of its own.

    Use it in a ``with`` statement, or close it after use.

    Args:
        conf: the settings, with the URL under "connection".
        codec: encodes values as text, and decodes them.
        clock: the source of the time at which rows are created.

    Attributes:
        conf: the settings.
        codec: the codec.
        clock: the clock.
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
        """What messages call this backend: its URL, without password and options."""

    @abstractmethod
    def get_connection(self) -> Connection:
        """Return a connection, for one thread at a time; close it after use."""

    @abstractmethod
    def close(self) -> None:
        """Release what this backend holds."""

    def join_transaction(self, connection: Any) -> Backend:
        """Return a backend that writes in a transaction of the caller, if it is one of the same SQL database.

        Args:
            connection: the caller's connection, in a transaction.

        Returns:
            A backend that writes by that connection; or this backend, whose writes are durable at once, if
            the connection leads elsewhere.

        Raises:
            InvalidFormat: the connection is closed.
        """
        del connection
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Connection(RecordStore):
    """Reads and writes logbooks, flows and atoms. One thread uses it at a time.

    Use it in a ``with`` statement, or close it after use. Each method is one transaction. Besides the errors
    that are listed, every method raises `StorageFailure` if the backend cannot be reached or used,
    `NotSerializable` or `InvalidFormat` for values that the codec cannot encode or decode, and
    `ValueTooLarge` for a value that the backend does not accept: nothing is stored then.

    Args:
        backend: the backend.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._codec = backend.codec

    @property
    def max_value(self) -> int | None:
        """The largest JSON text of one value that the backend accepts, in bytes; None for no limit.

        A server that has a limit of its own is asked when the connection is first used.
        """
        return None

    def stored_size(self, text: str) -> int:
        """Return how many bytes of ``max_value`` a text takes."""
        return text_size(text)

    @property
    def backend(self) -> Backend:
        """The backend of this connection."""
        return self._backend

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Release what this connection holds; the next method opens it again."""

    @abstractmethod
    def upgrade(self) -> None:
        """Create the schema, or bring it to the version of this code.

        Raises:
            IncompatibleVersion: a newer version of this library created it.
        """

    @abstractmethod
    def validate(self) -> None:
        """Check that this code can use the backend.

        Raises:
            StorageFailure: it cannot; the message says what to do.
        """

    # ------------------------------------------------------------------ logbooks

    def clear_all(self) -> None:
        """Delete all logbooks and all that is in them."""
        with self._transaction(write=True):
            self._delete_all()

    def save_logbook(self, book: LogBook) -> LogBook:
        """Store a logbook with its flows and their atoms, over what is stored of them.

        Flows and atoms that are stored but not in ``book`` stay.

        Returns:
            The logbook as it is stored now.
        """
        at = self._backend.clock.now()
        self._complete_meta(book)
        with self._transaction(write=True):
            exists = bool(self._read_books(book.uuid))
            changes = merge_changes([self._changes(fd, book.uuid, at) for fd in book])
            self._apply(changes._replace(books=[serialization.book_record(self._codec, book, at)]))
            return self._book(self._read_books(book.uuid)[0]) if exists else book

    def add_logbooks(self, books: Iterable[LogBook]) -> None:
        """Store new logbooks with their flows, without reading anything before.

        It is one transaction, except in a key-value store that accepts less at once: if that fails in
        between, the first ones are stored.

        Raises:
            Duplicate: a logbook or a flow with the same UUID is stored.
        """
        at = self._backend.clock.now()
        parts, records = [], []
        for book in books:
            records.append(serialization.book_record(self._codec, book, at))
            for fd in book:
                inline, inputs = serialization.split_meta(self._codec, fd)
                flow = serialization.flow_record(self._codec, book.uuid, fd, inline, at)
                if inputs:
                    flow = flow._replace(inputs_version=1)
                atoms = serialization.atom_rows(self._codec, fd.uuid, fd)
                parts.append(flow_changes(flow, None, atoms, ())._replace(inputs=inputs))
        self._add(merge_changes(parts)._replace(new_books=records))

    def get_logbook(self, book_uuid: str, lazy: bool = False) -> LogBook:
        """Return a logbook.

        Args:
            book_uuid: UUID of the logbook.
            lazy: leave its flows out.

        Raises:
            NotFound: there is none.
        """
        with self._transaction(write=False):
            for record in self._read_books(book_uuid):
                return self._book(record, lazy, with_inputs=True)
        raise not_found("logbook", book_uuid)

    def get_logbooks(self, lazy: bool = False) -> list[LogBook]:
        """Return all logbooks, oldest first.

        Args:
            lazy: leave their flows out.
        """
        with self._transaction(write=False):
            return [self._book(record, lazy) for record in self._read_books()]

    def destroy_logbook(self, book_uuid: str) -> None:
        """Delete a logbook and all that is in it.

        Raises:
            NotFound: there is none.
        """
        with self._transaction(write=True):
            if not self._delete_book(book_uuid):
                raise not_found("logbook", book_uuid)

    # ------------------------------------------------------------------ flows

    def get_flows_for_book(self, book_uuid: str, lazy: bool = False) -> list[FlowDetail]:
        """Return the flows of a logbook, oldest first; none if there is no such logbook.

        Args:
            book_uuid: UUID of the logbook.
            lazy: leave their atoms out.
        """
        with self._transaction(write=False):
            return [self._flow(record, lazy) for record in self._read_flows(book_uuid=book_uuid)]

    def get_flow_details(self, fd_uuid: str, lazy: bool = False) -> FlowDetail:
        """Return a flow.

        Args:
            fd_uuid: UUID of the flow.
            lazy: leave its atoms out.

        Raises:
            NotFound: there is none.
        """
        with self._transaction(write=False):
            return self._flow(self._read_flow(fd_uuid), lazy, with_inputs=not lazy)

    def update_flow_details(self, flow_detail: FlowDetail) -> FlowDetail:
        """Store a flow's state and metadata, and its atoms, new ones included.

        Returns:
            The flow as it is stored now.

        Raises:
            NotFound: it was never saved in a logbook.
        """
        self._complete_meta([flow_detail])
        with self._transaction(write=True):
            book_uuid = self._read_flow(flow_detail.uuid).book_uuid
            self._apply(self._changes(flow_detail, book_uuid, self._backend.clock.now()))
            return self._flow(self._read_flow(flow_detail.uuid))

    def get_flow_inputs(self, flow_uuid: str) -> list[InputRow]:
        """Return the rows of a flow's inputs and other large metadata, in the order they were added.

        Raises:
            NotFound: there is no such flow.
        """
        with self._transaction(write=False):
            rows = list(self._read_inputs(flow_uuid))
            if not rows:
                self._read_flow(flow_uuid)
            return rows

    def get_flow_record(self, flow_uuid: str) -> FlowRecord:
        """Return the row of a flow: its state, owner and epoch, without atoms.

        Raises:
            NotFound: there is none.
        """
        with self._transaction(write=False):
            return self._read_flow(flow_uuid)

    def list_flow_records(
        self, state: str | None = None, limit: int | None = None, newest_first: bool = True
    ) -> list[FlowRecord]:
        """Return the rows of many flows.

        Args:
            state: only flows in this state.
            limit: the maximum number of flows.
            newest_first: start with the flow that was saved last.
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
            at: the current time, in seconds since the epoch (UTC).
            missing_atoms: receives the stored flow and returns the atoms to add. It may be called again, with
                what is stored by then. If it raises, the owner does not change.

        Returns:
            The new epoch, to be passed with every checkpoint.

        Raises:
            NotFound: there is no such flow.
        """
        with self._transaction(write=True):
            record = self._read_flow(flow_uuid)
            if missing_atoms is not None:
                added = serialization.atom_rows(self._codec, flow_uuid, missing_atoms(self._flow(record)))
                if added:
                    self._apply(atom_changes(added))
            self._set_owner(flow_uuid, record.epoch + 1, owner, at)
            return record.epoch + 1

    def checkpoint(self, cp: Checkpoint) -> None:
        """Store what one step of an engine changed.

        Raises:
            OwnershipLost: the epoch is not the one of the flow's owner.
            NotFound: the flow, or an atom in the checkpoint, is not stored.
        """
        self._write_checkpoint(cp)

    def get_history(self, flow_uuid: str, after: int = 0, limit: int | None = None) -> list[Transition]:
        """Return the transitions of a flow and its atoms, in the order they happened.

        Args:
            flow_uuid: UUID of the flow.
            after: only transitions with a higher ``seq``.
            limit: the maximum number of transitions.
        """
        with self._transaction(write=False):
            return self._read_transitions(flow_uuid, after, limit)

    # ------------------------------------------------------------------ atoms

    def get_atoms_for_flow(self, fd_uuid: str) -> list[AtomDetail]:
        """Return the atoms of a flow in the order they were added; none if there is no such flow."""
        with self._transaction(write=False):
            return [serialization.atom_detail(self._codec, rows) for rows in self._rows_of_atoms(fd_uuid)]

    def get_atom_details(self, ad_uuid: str) -> AtomDetail:
        """Return an atom.

        Raises:
            NotFound: there is none.
        """
        with self._transaction(write=False):
            return serialization.atom_detail(self._codec, self._rows_of_atom(ad_uuid))

    def update_atom_details(self, atom_detail: AtomDetail) -> AtomDetail:
        """Store an atom.

        Returns:
            The atom as it is stored now.

        Raises:
            NotFound: it was never saved in a flow.
        """
        with self._transaction(write=True):
            old = self._rows_of_atom(atom_detail.uuid)
            new = serialization.atom_rows(self._codec, old.record.flow_uuid, [atom_detail])
            self._apply(atom_changes(new, [old]))
            return serialization.atom_detail(self._codec, self._rows_of_atom(atom_detail.uuid))

    def add_atoms(self, flow_uuid: str, details: Iterable[AtomDetail], epoch: int | None = None) -> None:
        """Store new atoms of a flow.

        Args:
            flow_uuid: UUID of the flow.
            details: the atoms.
            epoch: the epoch of the caller's ownership, checked if given.

        Raises:
            NotFound: there is no such flow.
            OwnershipLost: the epoch is not the one of the flow's owner.
            Duplicate: an atom with the same UUID is stored.
        """
        atoms = serialization.atom_rows(self._codec, flow_uuid, details)
        with self._transaction(write=True):
            flow = self._read_flow(flow_uuid)
            if epoch is not None and epoch != flow.epoch:
                raise ownership_lost(flow_uuid, epoch, flow.epoch, flow.owner)
            self._apply(atom_changes(atoms))

    # ------------------------------------------------------------------ details and rows

    def _flow(self, record: FlowRecord, lazy: bool = False, *, with_inputs: bool = False) -> FlowDetail:
        atoms = () if lazy else self._rows_of_atoms(record.uuid)
        load: Callable[[], Iterable[InputRow]] = functools.partial(_load_inputs, self._backend, record.uuid)
        if with_inputs and record.inputs_version:
            load = list(self._read_inputs(record.uuid)).copy  # of the same snapshot; decoded when needed
        return serialization.flow_detail(self._codec, record, atoms, load, self._backend)

    def _book(self, record: BookRecord, lazy: bool = False, *, with_inputs: bool = False) -> LogBook:
        flows = () if lazy else self._read_flows(book_uuid=record.uuid)
        details = [self._flow(flow, with_inputs=with_inputs) for flow in flows]
        return serialization.log_book(self._codec, record, details)

    def _rows_of_atoms(self, flow_uuid: str) -> list[AtomRows]:
        return self._with_other_rows(flow_uuid, list(self._read_atoms(flow_uuid)))

    def _rows_of_atom(self, uuid: str) -> AtomRows:
        record = self._read_existing_atom(uuid)
        return self._with_other_rows(record.flow_uuid, [record])[0]

    def _with_other_rows(self, flow_uuid: str, records: list[AtomRecord]) -> list[AtomRows]:
        """Add to the rows of a flow's atoms their long values, and the histories of retries."""
        if not records:
            return []
        if any(map(has_stored_values, records)):
            values = {row[:2]: str(row.value) for row in self._read_values(flow_uuid)}
            records = [with_stored_values(record, values) for record in records]
        attempts: dict[str, list[AttemptRow]] = {}
        if any(record.kind != "TASK_DETAIL" for record in records):
            for row in self._read_attempts(flow_uuid):
                attempts.setdefault(row.retry_uuid, []).append(row)
        return [AtomRows(record, tuple(attempts.get(record.uuid, ()))) for record in records]

    def _complete_meta(self, details: Iterable[FlowDetail]) -> None:
        """Read the rest of metadata that is not to be stored where it came from, or that outgrew its row."""
        for fd in details:
            meta = fd.meta
            if isinstance(meta, FlowMeta) and not meta.is_complete:
                is_foreign = meta.source != (self._backend, fd.uuid)
                if is_foreign or serialization.split_meta(self._codec, fd, meta.read_items())[1]:
                    len(meta)

    def _changes(self, fd: FlowDetail, book_uuid: str, at: float) -> Changes:
        old = next(iter(self._read_flows(uuid=fd.uuid)), None)
        stored = () if old is None else self._rows_of_atoms(fd.uuid)
        atoms = serialization.atom_rows(self._codec, fd.uuid, fd)
        meta = fd.meta
        if old is not None and isinstance(meta, FlowMeta) and not meta.is_complete:
            inline, changed = meta.read_items(), []  # its other items were not read, so they were not changed
        else:
            inline, inputs = serialization.split_meta(self._codec, fd)
            before = () if old is None or not old.inputs_version else list(self._read_inputs(fd.uuid))
            changed = serialization.input_changes(before, inputs)
        flow = serialization.flow_record(self._codec, book_uuid, fd, inline, at, old)
        if changed:
            flow = flow._replace(inputs_version=flow.inputs_version + 1)
        return flow_changes(flow, old, atoms, stored)._replace(inputs=changed)


def _load_inputs(backend: Backend, flow_uuid: str) -> list[InputRow]:
    with backend.get_connection() as connection:
        return connection.get_flow_inputs(flow_uuid)
