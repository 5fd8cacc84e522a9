"""Rows of books, flows, atoms and moves as items of a place.

What a checkpoint has to know of its flow, kept from one to the next: so that it reads nothing.

The backend for places of items.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any, Final, Self, TypeVar

from stackl_flow import codec as codecs
from stackl_flow import exceptions as exc
from stackl_flow import urls
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.codec import TextCodec
from stackl_flow.kv import backends as places
from stackl_flow.kv.items import ABSENT, Check, Put
from stackl_flow.kv.store import KV
from stackl_flow.persistence.backends.kv import layout, transaction
from stackl_flow.persistence.backends.kv.layout import Head, Row
from stackl_flow.persistence.backends.kv.transaction import Draft
from stackl_flow.persistence.base import Backend, Connection, MissingAtoms
from stackl_flow.persistence.models import AtomDetail, FlowDetail, LogBook
from stackl_flow.persistence.records import (
    AtomRecord,
    BookRecord,
    Changes,
    Checkpoint,
    FlowRecord,
    Transition,
    not_found,
    ownership_lost,
)


class Desk:
    """The head and row of a flow as they were last seen, the last page of its moves, and its atoms' uuids.

    Args:
        kv: the place.
        flow_uuid: the flow.
        version: the version of its head.
        head: its head.
        row: its row.
        atoms: the uuids of its atoms; read when they are needed, if left out.
    """

    def __init__(
        self, kv: KV, flow_uuid: str, version: int, head: Head, row: Row, atoms: set[str] | None = None
    ) -> None:
        self._kv = kv
        self.flow_uuid = flow_uuid
        self._key = layout.head_key(flow_uuid)
        self._version = version
        self._head = head
        self._row = row
        self._atoms = atoms
        self._page: list[list[Any]] | None = None if head.moves % layout.PAGE else []

    @classmethod
    def read(cls, kv: KV, flow_uuid: str) -> Self:
        """Read what is to be known of a flow.

        Args:
            kv: the place.
            flow_uuid: the flow.

        Returns:
            The desk.

        Raises:
            NotFound: there is no such flow.
        """
        # Whoever writes the row writes the head: a row that is newer than the head will not be written over.
        head, row = kv.get_many([layout.head_key(flow_uuid), layout.row_key(flow_uuid)])
        if head is None or row is None:
            raise not_found("flow", flow_uuid)
        return cls(kv, flow_uuid, head.version, Head(*layout.read(head.value)), Row(*layout.read(row.value)))

    def land(self, cp: Checkpoint, at: float) -> None:
        """Write a checkpoint.

        Args:
            cp: what changed.
            at: seconds since 1970, UTC.

        Raises:
            OwnershipLost: the epoch is not the owner's.
            NotFound: an atom is not stored.
            Conflict: somebody wrote the flow since its head was read: make another desk.
        """
        head = self._head
        if head.epoch != cp.epoch:
            raise ownership_lost(cp.flow_uuid, cp.epoch, head.epoch, head.owner)
        head = head._replace(writes=head.writes + 1)
        for move in cp.atoms:
            if move.uuid not in self._known_atoms():
                raise not_found("atom", move.uuid)
        moved = {uuid: columns for uuid, *columns in cp.atoms}
        items = layout.atom_items(cp.flow_uuid, moved, head.writes, self._kv.limits.operations)
        puts = [Put(key, value) for key, value in items]
        if cp.flow_state is not None or cp.flow_meta is not None:
            state = head.state if cp.flow_state is None else cp.flow_state
            head = head._replace(state=state, updated_at=at)
        row = self._row
        if cp.flow_meta is not None:
            row = row._replace(meta=cp.flow_meta)
            puts.append(Put(layout.row_key(self.flow_uuid), layout.write(row)))
        page = self._page
        if cp.transitions:
            page = self._last_page()
            pages = list(layout.add_moves(page, cp.transitions, cp.owner, head.moves))
            puts += [
                Put(layout.history_key(cp.flow_uuid, number), layout.write(each)) for number, each in pages
            ]
            page = pages[-1][1]
            head = head._replace(moves=head.moves + len(cp.transitions))
        puts.append(Put(self._key, layout.write(head)))
        self._version = self._kv.commit([Check(self._key, self._version)], puts)
        self._head, self._row = head, row
        self._page = page if head.moves % layout.PAGE else []

    def _last_page(self) -> list[list[Any]]:
        if self._page is None:
            number = self._head.moves // layout.PAGE
            page = self._kv.get(layout.history_key(self.flow_uuid, number))
            self._page = [] if page is None else layout.read(page.value)
        return self._page

    def _known_atoms(self) -> set[str]:
        if self._atoms is None:
            pages = self._kv.list(f"{layout.flow_prefix(self.flow_uuid)}made/")
            counted = pages[: self._head.pages]
            self._atoms = {line[0] for page in counted for line in layout.read(page.value)}
        return self._atoms


T = TypeVar("T")

_TRIES: Final = 200
_LONGEST_PAUSE: Final = 0.02
_AT_ONCE: Final = 200


class KVConnection(Connection):
    """Reads and writes flows in a place of items.

    Args:
        backend: the backend.
        kv: its place.
        stamp: gives marks that sort in the order in which they were asked for.
    """

    def __init__(self, backend: KVBackend, kv: KV, stamp: Callable[[], str]) -> None:
        super().__init__(backend)
        self._kv = kv
        self._stamp = stamp
        self._draft = Draft(kv)
        self._ahead: Sequence[str] = ()
        self._desk: Desk | None = None
        self._looked_in: str | None = None

    def close(self) -> None:
        """Forget what was read; the place is closed with the backend."""
        self._desk = None
        self._draft = Draft(self._kv)

    def upgrade(self) -> None:
        """Note the format in the place, unless it is noted.

        Raises:
            IncompatibleVersion: a newer version of this library wrote there.
        """
        if not self._is_prepared():
            text = layout.write({"format": layout.FORMAT})
            try:
                self._kv.commit([Check(layout.FORMAT_KEY, ABSENT)], [Put(layout.FORMAT_KEY, text)])
            except exc.Conflict:
                self._is_prepared()

    def validate(self) -> None:
        """Check that flows can be kept there by this code.

        Raises:
            StorageFailure: nobody prepared the place, or it cannot be reached.
            IncompatibleVersion: a newer version of this library wrote there.
        """
        if not self._is_prepared():
            raise exc.StorageFailure(
                f"'{self._kv.name}' was never prepared for flows: call upgrade() or `stackl-flow db upgrade`"
            )

    def _is_prepared(self) -> bool:
        item = self._kv.get(layout.FORMAT_KEY)
        found = layout.FORMAT if item is None else layout.read(item.value)["format"]
        if found > layout.FORMAT:
            raise exc.IncompatibleVersion(
                f"flows in '{self._kv.name}' have format {found}, this code writes {layout.FORMAT}: "
                f"use the version of the library that wrote them, or a newer one"
            )
        return item is not None

    # What is written is checked against what was read, so a verb is done again when somebody was quicker.

    def clear_all(self) -> None:
        """Delete every book and all that is in it."""
        self._again(super().clear_all)

    def save_logbook(self, book: LogBook) -> LogBook:
        """Store a book; see the base class."""
        ahead = layout.book_prefix(book.uuid), *(layout.flow_prefix(detail.uuid) for detail in book)
        return self._again(super().save_logbook, book, ahead=ahead)

    def destroy_logbook(self, book_uuid: str) -> None:
        """Delete a book and all that is in it; see the base class."""
        self._again(super().destroy_logbook, book_uuid)

    def update_flow_details(self, flow_detail: FlowDetail) -> FlowDetail:
        """Store a flow and its atoms; see the base class."""
        ahead = (layout.flow_prefix(flow_detail.uuid),)
        return self._again(super().update_flow_details, flow_detail, ahead=ahead)

    def update_atom_details(self, atom_detail: AtomDetail) -> AtomDetail:
        """Store an atom; see the base class."""
        return self._again(super().update_atom_details, atom_detail)

    def take_ownership(
        self, flow_uuid: str, owner: str, at: float, missing_atoms: MissingAtoms | None = None
    ) -> int:
        """Become the owner of a flow and add the atoms it lacks; see the base class."""
        if missing_atoms is None:
            return self._again(super().take_ownership, flow_uuid, owner, at)
        ahead = (layout.flow_prefix(flow_uuid),)
        return self._again(self._take_ownership, flow_uuid, owner, at, missing_atoms, ahead=ahead)

    def _take_ownership(self, flow_uuid: str, owner: str, at: float, missing_atoms: MissingAtoms) -> int:
        atoms: set[str] = set()

        def matched(stored: FlowDetail) -> Iterable[AtomDetail]:
            atoms.update(detail.uuid for detail in stored)
            added = list(missing_atoms(stored))
            atoms.update(detail.uuid for detail in added)
            return added

        epoch = super().take_ownership(flow_uuid, owner, at, matched)
        # What was written is known: the first checkpoint has nothing to ask.
        head, row = transaction.head(self._draft, flow_uuid), transaction.row(self._draft, flow_uuid)
        if head is not None and row is not None:
            self._desk = Desk(self._kv, flow_uuid, self._draft.version, head, row, atoms)
        self._draft = Draft(self._kv)
        return epoch

    def add_atoms(self, flow_uuid: str, details: Iterable[AtomDetail], epoch: int | None = None) -> None:
        """Store many new atoms of a flow at once; see the base class."""
        ahead = (layout.flow_prefix(flow_uuid),)
        self._again(super().add_atoms, flow_uuid, list(details), epoch, ahead=ahead)

    def _again(self, verb: Callable[..., T], *args: Any, ahead: Sequence[str] = ()) -> T:
        pause = 0.0005
        for _ in range(_TRIES):
            self._ahead = ahead
            try:
                return verb(*args)
            except exc.Conflict as error:
                conflict = error
            # Chance parts those who collide.
            SYSTEM.sleep(random.uniform(0, pause))  # noqa: S311  no secret
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        raise exc.StorageFailure(
            f"others kept writing the same in '{self._kv.name}', {_TRIES} times over: try again later",
            cause=conflict,
        )

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[None]:
        ahead, self._ahead = self._ahead, ()
        if not write:
            with self._kv.snapshot():
                self._draft = Draft(self._kv, ahead)
                yield
            self._draft = Draft(self._kv)
            return
        self._draft = Draft(self._kv, ahead)
        self._desk = None
        yield
        self._draft.commit()

    # ---------------------------------------------------------------- reading

    def get_logbook(self, book_uuid: str, lazy: bool = False) -> LogBook:
        """Read a book; see the base class."""
        self._ahead = () if lazy else (layout.book_prefix(book_uuid),)
        return super().get_logbook(book_uuid, lazy)

    def get_logbooks(self, lazy: bool = False) -> list[LogBook]:
        """Read all books; see the base class."""
        self._ahead = (layout.BOOKS,)
        return super().get_logbooks(lazy)

    def get_flow_details(self, fd_uuid: str, lazy: bool = False) -> FlowDetail:
        """Read a flow; see the base class."""
        self._ahead = () if lazy else (layout.flow_prefix(fd_uuid),)
        return super().get_flow_details(fd_uuid, lazy)

    def _book(self, record: BookRecord, lazy: bool = False) -> LogBook:
        if not lazy:
            self._draft.look_below(map(layout.flow_prefix, self._flows_of(record.uuid)))
        return super()._book(record, lazy)

    def _flows_of(self, book_uuid: str) -> Iterator[str]:
        for item in self._draft.items(layout.flows_of(book_uuid)):
            yield layout.read(item.value)

    def _read_books(self, uuid: str | None = None) -> list[BookRecord]:
        if uuid is not None:
            text = self._draft.get(layout.book_key(uuid))
            return [] if text is None else [layout.read_book(text)[1]]
        rows = (item.value for item in self._draft.items(layout.BOOKS) if item.key.endswith("/row"))
        return [record for _, record in sorted(map(layout.read_book, rows))]

    def _read_flows(
        self,
        uuid: str | None = None,
        book_uuid: str | None = None,
        state: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[FlowRecord]:
        if uuid is not None:
            pages: Iterable[list[str]] = [[uuid]]
        elif book_uuid is not None:
            pages = [list(self._flows_of(book_uuid))]
        else:
            pages = self._all_flows(newest_first=newest_first)
        found = (
            record
            for page in pages
            for record in transaction.flows(self._draft, page)
            if book_uuid in (None, record.book_uuid) and (state is None or state == record.state)
        )
        return list(islice(found, limit))

    def _all_flows(self, *, newest_first: bool) -> Iterator[list[str]]:
        after = ""
        while page := self._kv.list(layout.FLOWS, after, _AT_ONCE, reverse=newest_first):
            yield [layout.read(item.value) for item in page]
            after = page[-1].key

    def _read_atoms(self, flow_uuid: str) -> Iterable[AtomRecord]:
        return transaction.atoms(self._draft, flow_uuid)

    def _read_atom(self, uuid: str) -> AtomRecord | None:
        flows = chain.from_iterable(self._all_flows(newest_first=True))
        # Who asks for one atom asks for the next.
        last = [] if self._looked_in is None else [self._looked_in]
        for flow_uuid in chain(last, flows):
            record = transaction.atom(self._draft, flow_uuid, uuid)
            if record is not None:
                self._looked_in = flow_uuid
                return record
        return None

    def _read_transitions(self, flow_uuid: str, after: int, limit: int | None) -> list[Transition]:
        return list(islice(self._transitions(flow_uuid, after), limit))

    def _transitions(self, flow_uuid: str, after: int) -> Iterator[Transition]:
        number = after // layout.PAGE
        last = layout.history_key(flow_uuid, number - 1) if number else ""
        while pages := self._kv.list(layout.history_prefix(flow_uuid), last, _AT_ONCE):
            for page in pages:
                last = page.key
                for move in layout.read_moves(page.value, int(page.key.rpartition("/")[2])):
                    if move.seq > after:
                        yield move

    # ---------------------------------------------------------------- writing

    def _apply(self, changes: Changes) -> None:
        transaction.apply(self._draft, changes, self._stamp)

    def _set_owner(self, flow_uuid: str, epoch: int, owner: str, at: float) -> None:
        transaction.set_owner(self._draft, flow_uuid, epoch, owner, at)

    def _delete_book(self, uuid: str) -> bool:
        return transaction.delete_book(self._draft, uuid)

    def _delete_all(self) -> None:
        for item in self._draft.items(layout.ROOT):
            if item.key != layout.FORMAT_KEY:
                self._draft.delete(item.key, last=not item.key.endswith(("/row", "/head")))

    def _write_checkpoint(self, cp: Checkpoint) -> None:
        at = self._backend.clock.now()
        desk, self._desk = self._desk, None
        if desk is not None and desk.flow_uuid == cp.flow_uuid:
            try:
                desk.land(cp, at)
            except (exc.Conflict, exc.OwnershipLost, exc.NotFound):
                pass  # what the desk knew is old: it is asked anew below
            else:
                self._desk = desk
                return
        self._desk = self._again(self._land_anew, cp, at)

    def _land_anew(self, cp: Checkpoint, at: float) -> Desk:
        desk = Desk.read(self._kv, cp.flow_uuid)
        desk.land(cp, at)
        return desk


class KVBackend(Backend):
    """Keeps flows as items of a place.

    Args:
        conf: "connection" is the address of the place, such as "dir:///var/lib/app"; options stand in it or
            beside it.
        codec: makes text of values and values of text; the shared one if left out.
        clock: tells when rows were made.
        place: the place itself, instead of one made for the address; closed with the backend.

    Raises:
        InvalidFormat: the address or an option makes no sense.
    """

    def __init__(
        self,
        conf: Mapping[str, Any] | str,
        codec: TextCodec = codecs.DEFAULT,
        clock: Clock = SYSTEM,
        place: KV | None = None,
    ) -> None:
        super().__init__(urls.parse(conf).conf, codec=codec, clock=clock)
        self.kv = places.fetch(conf, clock=clock) if place is None else place
        self._last = 0
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The address, without any password."""
        return self.kv.name

    def get_connection(self) -> KVConnection:
        """Make a connection, to be used by one thread at a time.

        Returns:
            The connection; close it after use.
        """
        return KVConnection(self, self.kv, self.stamp)

    def close(self) -> None:
        """Close the place."""
        self.kv.close()

    def stamp(self) -> str:
        """Make a mark of now that sorts behind all that this backend made before.

        Returns:
            The mark: microseconds since 1970, in 17 digits.
        """
        with self._lock:
            self._last = max(self._last + 1, int(self.clock.now() * 1_000_000))
            return f"{self._last:017}"
