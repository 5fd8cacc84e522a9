"""The backend for key-value stores, its connections, and the cursor of an engine's checkpoints."""

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
from stackl_flow.kv import backends as stores
from stackl_flow.kv.items import ABSENT, MAX_KEY, Check, Item, Put, validate_size
from stackl_flow.kv.store import KV
from stackl_flow.persistence.backends.kv import layout
from stackl_flow.persistence.backends.kv.layout import FlowHead, FlowRow, RetryNow
from stackl_flow.persistence.backends.kv.transaction import FlowTransaction, batches
from stackl_flow.persistence.base import Backend, Connection, MissingAtoms
from stackl_flow.persistence.models import AtomDetail, FlowDetail, LogBook
from stackl_flow.persistence.records import (
    AtomRecord,
    AtomValue,
    AttemptRow,
    AttemptsChange,
    BookRecord,
    Changes,
    Checkpoint,
    FlowRecord,
    InputRow,
    Transition,
    is_reference,
    not_found,
    ownership_lost,
    reference_to,
)

T = TypeVar("T")

_MAX_ATTEMPTS: Final = 200
_MAX_DELAY: Final = 0.02
_PAGE_SIZE: Final = 200
#: About how many items a logbook with one flow and some inputs has.
_PUTS_PER_BOOK: Final = 16
#: How many parts that are not needed any more wait for a commit that has room to delete them, and how many
#: of them one commit deletes.
_MAX_GARBAGE: Final = 10_000
_MAX_DELETES: Final = 100


class CheckpointCursor:
    """What a checkpoint needs to know of its flow, kept from one to the next, so that it reads nothing.

    Args:
        kv: the store.
        flow_uuid: UUID of the flow.
        version: the version of its head.
        head: its head.
        row: its row.
        atoms: the UUIDs of its atoms; read when they are needed, by default.
        parts: the keys of the parts that are stored, as far as they are known.
    """

    def __init__(
        self,
        kv: KV,
        flow_uuid: str,
        version: int,
        head: FlowHead,
        row: FlowRow,
        atoms: set[str] | None = None,
        parts: Iterable[str] = (),
    ) -> None:
        self._kv = kv
        self.flow_uuid = flow_uuid
        self._key = layout.head_key(flow_uuid)
        self._version = version
        self._head = head
        self._row = row
        self._atoms = atoms
        # The parts of each atom, as far as they are known, and those that are not referred to any more.
        self._parts: dict[str, frozenset[str]] = {}
        self._parts.update(self._parts_by_atom(parts, atoms or ()))
        self._garbage: list[str] = []
        # Which rows the history of each retry has, as far as it is known.
        self._retries: dict[str, RetryNow] = {}
        # The last page of transitions: None if it has to be read, empty if the next one starts a page.
        self._page: list[Sequence[Any]] | None = (
            None if head.transitions % layout.TRANSITIONS_PER_PAGE else []
        )

    @classmethod
    def read(cls, kv: KV, flow_uuid: str) -> Self:
        """Read what is to be known of a flow.

        Raises:
            NotFound: there is no such flow.
        """
        # A writer of the row writes the head too, so a row that is newer than the head is never overwritten.
        head, row = kv.get_many([layout.head_key(flow_uuid), layout.row_key(flow_uuid)])
        if head is None or row is None:
            raise not_found("flow", flow_uuid)
        flow_head, flow_row = FlowHead(*layout.decode(head.value)), FlowRow(*layout.decode(row.value))
        return cls(kv, flow_uuid, head.version, flow_head, flow_row)

    def write(self, cp: Checkpoint, at: float) -> None:
        """Write a checkpoint.

        Args:
            cp: the checkpoint.
            at: the current time, in seconds since the epoch (UTC).

        Raises:
            OwnershipLost: the epoch is not the owner's.
            NotFound: an atom is not stored.
            Conflict: the flow was written since its head was read: use a new cursor.
        """
        head = self._head
        if head.epoch != cp.epoch:
            raise ownership_lost(cp.flow_uuid, cp.epoch, head.epoch, head.owner)
        head = head._replace(writes=head.writes + 1)
        for atom in cp.atoms:
            if atom.uuid not in self._known_atoms():
                raise not_found("atom", atom.uuid)
        values: dict[str, Sequence[Any]] = {uuid: columns for uuid, *columns in cp.atoms}
        encoded = layout.encode_atom_values(cp.flow_uuid, values, head.writes, self._kv.limits)
        puts = [Put(key, value) for key, value in encoded.puts.items()]
        if cp.changes_flow:
            state = head.state if cp.flow_state is None else cp.flow_state
            head = head._replace(state=state, updated_at=at)
        row = self._row
        deletes: list[str] = []
        if cp.flow_meta is not None or cp.inputs:
            meta, inputs_version = layout.unpack_meta(row.meta)
            meta = meta if cp.flow_meta is None else cp.flow_meta
            row = row._replace(meta=layout.pack_meta(meta, inputs_version + bool(cp.inputs)))
            puts.append(Put(layout.row_key(self.flow_uuid), layout.encode(row)))
            changed_inputs = layout.change_inputs(self._kv, cp.inputs)
            puts += [Put(key, text) for key, text in changed_inputs.items() if text is not None]
            deletes = [key for key, text in changed_inputs.items() if text is None]
        page = self._page
        attempts = [layout.change_attempts(self.flow_uuid, each, self._retry(each)) for each in cp.attempts]
        puts += [Put(*layout.retry_item(self.flow_uuid, each.now)) for each in attempts]
        early = [Put(key, text) for each in attempts for key, text in each.rows.items()]
        if cp.transitions:
            page = self._last_page()
            pages = list(layout.append_transitions(page, cp.transitions, head.transitions))
            early += [
                Put(layout.history_key(cp.flow_uuid, number), layout.encode(lines)) for number, lines in pages
            ]
            page = pages[-1][1]
            head = head._replace(transitions=head.transitions + len(cp.transitions))
        puts.append(Put(self._key, layout.encode(head)))
        parts, unreferenced = self._changed_parts(encoded.parts, values, cp.values)
        self._version = self._commit([*parts, *early], puts, deletes)
        self._head, self._row = head, row
        self._page = page if head.transitions % layout.TRANSITIONS_PER_PAGE else []
        for uuid, columns in values.items():
            if uuid in self._parts or any(map(is_reference, columns)):
                self._parts[uuid] = layout.references(self.flow_uuid, uuid, columns)
        self._garbage += unreferenced
        for each in attempts:
            self._retries[each.now.retry_uuid] = each.now
            self._garbage += each.unreferenced

    def _commit(self, early: Sequence[Put], puts: Sequence[Put], deletes: Sequence[str]) -> int:
        """Commit all of it at once, or what no one reads yet first, where the store takes less at once.

        Each commit checks that the head has not changed, so a former owner writes nothing.
        """
        limits, checks = self._kv.limits, [Check(self._key, self._version)]
        if not limits.fit(checks, [*early, *puts], deletes):
            validate_size(self._kv.name, limits, checks, puts, deletes)  # before anything is written
            validate_size(self._kv.name, limits._replace(commit=None, operations=None), (), early, ())
            for batch in batches(limits, checks, early, ()):
                self._kv.commit(checks, batch.puts)
            early = ()
        used = len(early) + len(puts) + len(deletes)
        room = len(self._garbage) if limits.operations is None else limits.operations - used
        garbage = self._garbage[: min(room, _MAX_DELETES)] if room > 0 else []
        if not limits.fit(checks, [*early, *puts], [*deletes, *garbage]):
            garbage = []
        version = self._kv.commit(checks, [*early, *puts], [*deletes, *garbage])
        self._garbage = self._garbage[len(garbage) : len(garbage) + _MAX_GARBAGE]
        return version

    def _changed_parts(
        self, pieces: Mapping[str, str], values: Mapping[str, Sequence[Any]], long: Iterable[AtomValue]
    ) -> tuple[list[Put], list[str]]:
        """Return the parts to write, and the keys of those that are not needed any more."""
        parts = dict(pieces)
        for uuid, name, text in long:
            if text is not None:
                parts[layout.part_key(self.flow_uuid, uuid, name, reference_to(text))] = text
        known = {key for uuid in values for key in self._parts.get(uuid, ())}
        needed = {*parts}.union(
            *(layout.references(self.flow_uuid, uuid, columns) for uuid, columns in values.items())
        )
        self._garbage = [key for key in self._garbage if key not in needed]
        new = [Put(key, text) for key, text in parts.items() if key not in known]
        return new, sorted(known.difference(needed))

    def _retry(self, change: AttemptsChange) -> RetryNow:
        uuid = change.retry_uuid
        if uuid not in self._retries:
            item = self._kv.get(layout.retry_now_key(self.flow_uuid, uuid))
            self._retries[uuid] = RetryNow(uuid) if item is None else RetryNow(*layout.decode(item.value))
        return self._retries[uuid]

    def _parts_by_atom(self, parts: Iterable[str], values: Iterable[str]) -> dict[str, frozenset[str]]:
        by_prefix: dict[str, list[str]] = {}
        for key in parts:
            by_prefix.setdefault(key[: key.rfind("/") + 1], []).append(key)
        if not by_prefix and not any(self._parts.get(uuid) for uuid in values):
            return {}
        found = ((uuid, layout.parts_prefix(self.flow_uuid, uuid)) for uuid in values)
        return {uuid: frozenset(by_prefix.get(prefix, ())) for uuid, prefix in found}

    def _last_page(self) -> list[Sequence[Any]]:
        if self._page is None:
            number = self._head.transitions // layout.TRANSITIONS_PER_PAGE
            page = self._kv.get(layout.history_key(self.flow_uuid, number))
            stored = [] if page is None else layout.decode(page.value)
            # What follows is left by a checkpoint that was interrupted.
            self._page = stored[: self._head.transitions % layout.TRANSITIONS_PER_PAGE]
        return self._page

    def _known_atoms(self) -> set[str]:
        if self._atoms is None:
            pages = self._kv.list(layout.atom_pages_prefix(self.flow_uuid))[: self._head.atom_pages]
            self._atoms = {line[0] for page in pages for line in layout.decode(page.value)}
        return self._atoms


class KVConnection(Connection):
    """Reads and writes flows in a key-value store.

    Args:
        backend: the backend.
        kv: its store.
        next_sort_key: returns keys that sort in the order of the calls.
    """

    def __init__(self, backend: KVBackend, kv: KV, next_sort_key: Callable[[], str]) -> None:
        super().__init__(backend)
        self._kv = kv
        self._next_sort_key = next_sort_key
        self._open_transaction = FlowTransaction(kv)
        self._prefetched: Sequence[str] = ()
        self._cursor: CheckpointCursor | None = None
        self._last_flow: str | None = None

    def close(self) -> None:
        """Forget what was read; the store is closed with the backend."""
        self._cursor = None
        self._open_transaction = FlowTransaction(self._kv)

    @property
    def max_value(self) -> int | None:
        """The largest value that the store accepts, in bytes; None for no limit."""
        value, commit, _, overhead = self._kv.limits
        if commit is None:
            return value
        room = commit - 2 * (MAX_KEY + overhead)  # it is stored by a commit that checks the head
        return room if value is None else min(value, room)

    def upgrade(self) -> None:
        """Record the format of this code in the store, which can read all older ones.

        Raises:
            IncompatibleVersion: a newer version of this library has written there.
        """
        text = layout.encode({"format": layout.FORMAT})
        while (item := self._read_format()) is None or self._format_of(item) < layout.FORMAT:
            version = ABSENT if item is None else item.version
            try:
                self._kv.commit([Check(layout.FORMAT_KEY, version)], [Put(layout.FORMAT_KEY, text)])
            except exc.Conflict:
                continue  # another process upgrades it

    def validate(self) -> None:
        """Check that this code can store flows there.

        Raises:
            StorageFailure: the store was not prepared, or cannot be reached.
            IncompatibleVersion: a newer version of this library has written there.
        """
        item = self._read_format()
        if item is None or self._format_of(item) < layout.FORMAT:
            raise exc.StorageFailure(
                f"'{self._kv.name}' is not prepared for flows of this version: run"
                f" 'stackl-flow db upgrade --db {self._kv.name}', or call upgrade() on a connection"
            )

    def _read_format(self) -> Item | None:
        item = self._kv.get(layout.FORMAT_KEY)
        found = layout.FORMAT if item is None else self._format_of(item)
        if found > layout.FORMAT:
            raise exc.IncompatibleVersion(
                f"flows in '{self._kv.name}' have format {found}, this code writes {layout.FORMAT}: "
                f"use the version of the library that wrote them, or a newer one"
            )
        return item

    @staticmethod
    def _format_of(item: Item) -> int:
        return int(layout.decode(item.value)["format"])

    # ------------------------------------------------------------------ transactions

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[None]:
        prefetched, self._prefetched = self._prefetched, ()
        if not write:
            with self._kv.snapshot():
                self._open_transaction = FlowTransaction(self._kv, prefetched)
                yield
            self._open_transaction = FlowTransaction(self._kv)
            return
        self._open_transaction = FlowTransaction(self._kv, prefetched)
        self._cursor = None
        yield
        self._open_transaction.commit()

    def _retry_conflicts(self, method: Callable[..., T], *args: Any, prefetched: Sequence[str] = ()) -> T:
        """Call a method again while another writer changes what it has read."""
        delay = 0.0005
        for _ in range(_MAX_ATTEMPTS):
            self._prefetched = prefetched
            try:
                return method(*args)
            except exc.Conflict as error:
                conflict = error
            # At random, so that writers that collided do not collide again.
            SYSTEM.sleep(random.uniform(0, delay))  # noqa: S311  no secret
            delay = min(delay * 1.5, _MAX_DELAY)
        raise exc.StorageFailure(
            f"{_MAX_ATTEMPTS} attempts to write in '{self._kv.name}' met other writers: try again later",
            cause=conflict,
        )

    # ------------------------------------------------------------------ public methods

    def clear_all(self) -> None:
        """Delete everything; see the base class."""
        self._retry_conflicts(super().clear_all)

    def save_logbook(self, book: LogBook) -> LogBook:
        """Store a logbook; see the base class."""
        prefetched = layout.book_prefix(book.uuid), *(layout.flow_prefix(detail.uuid) for detail in book)
        return self._retry_conflicts(super().save_logbook, book, prefetched=prefetched)

    def add_logbooks(self, books: Iterable[LogBook]) -> None:
        """Store new logbooks with their flows, by as few commits as the store accepts; see the base class."""
        left = list(books)
        operations = self._kv.limits.operations
        count = len(left) if operations is None else max(1, operations // _PUTS_PER_BOOK)
        for start in range(0, len(left), count or 1):
            some = left[start : start + count]
            try:
                super().add_logbooks(some)
            except exc.ValueTooLarge:
                if len(some) == 1:
                    raise
                for book in some:
                    super().add_logbooks([book])

    def _add(self, changes: Changes) -> None:
        books = [layout.book_prefix(row.uuid) for row in changes.new_books]
        flows = [prefix for row in changes.new_flows for prefix in layout.prefixes(row.uuid)]
        self._retry_conflicts(super()._add, changes, prefetched=(*books, *flows))

    def destroy_logbook(self, book_uuid: str) -> None:
        """Delete a logbook and all that is in it; see the base class."""
        self._retry_conflicts(super().destroy_logbook, book_uuid)

    def update_flow_details(self, flow_detail: FlowDetail) -> FlowDetail:
        """Store a flow and its atoms; see the base class."""
        prefetched = (layout.flow_prefix(flow_detail.uuid),)
        return self._retry_conflicts(super().update_flow_details, flow_detail, prefetched=prefetched)

    def update_atom_details(self, atom_detail: AtomDetail) -> AtomDetail:
        """Store an atom; see the base class."""
        return self._retry_conflicts(super().update_atom_details, atom_detail)

    def add_atoms(self, flow_uuid: str, details: Iterable[AtomDetail], epoch: int | None = None) -> None:
        """Store new atoms of a flow; see the base class."""
        prefetched = (layout.flow_prefix(flow_uuid),)
        self._retry_conflicts(super().add_atoms, flow_uuid, list(details), epoch, prefetched=prefetched)

    def take_ownership(
        self, flow_uuid: str, owner: str, at: float, missing_atoms: MissingAtoms | None = None
    ) -> int:
        """Become the owner of a flow and store the atoms that it lacks; see the base class."""
        if missing_atoms is None:
            return self._retry_conflicts(super().take_ownership, flow_uuid, owner, at)
        prefetched = (layout.flow_prefix(flow_uuid),)
        args = (flow_uuid, owner, at, missing_atoms)
        return self._retry_conflicts(self._take_ownership, *args, prefetched=prefetched)

    def _take_ownership(self, flow_uuid: str, owner: str, at: float, missing_atoms: MissingAtoms) -> int:
        atoms: set[str] = set()

        def added_to(stored: FlowDetail) -> Iterable[AtomDetail]:
            atoms.update(detail.uuid for detail in stored)
            added = list(missing_atoms(stored))
            atoms.update(detail.uuid for detail in added)
            return added

        epoch = super().take_ownership(flow_uuid, owner, at, added_to)
        # What was written is known, so the first checkpoint reads nothing.
        transaction = self._open_transaction
        head, row = transaction.read_head(flow_uuid), transaction.read_row(flow_uuid)
        if head is not None and row is not None:
            parts = transaction.find_prefetched(layout.parts_prefix(flow_uuid))
            self._cursor = CheckpointCursor(self._kv, flow_uuid, transaction.version, head, row, atoms, parts)
        self._open_transaction = FlowTransaction(self._kv)
        return epoch

    def get_logbook(self, book_uuid: str, lazy: bool = False) -> LogBook:
        """Return a logbook; see the base class."""
        self._prefetched = () if lazy else (layout.book_prefix(book_uuid),)
        return super().get_logbook(book_uuid, lazy)

    def get_logbooks(self, lazy: bool = False) -> list[LogBook]:
        """Return all logbooks; see the base class."""
        self._prefetched = (layout.BOOKS,)
        return super().get_logbooks(lazy)

    def get_flow_details(self, fd_uuid: str, lazy: bool = False) -> FlowDetail:
        """Return a flow; see the base class."""
        self._prefetched = () if lazy else (layout.flow_prefix(fd_uuid), layout.inputs_prefix(fd_uuid))
        return super().get_flow_details(fd_uuid, lazy)

    # ------------------------------------------------------------------ reading

    def _book(self, record: BookRecord, lazy: bool = False, *, with_inputs: bool = False) -> LogBook:
        if not lazy:
            flows = list(self._flows_of_book(record.uuid))
            inputs = map(layout.inputs_prefix, flows) if with_inputs else ()
            self._open_transaction.prefetch_prefixes([*map(layout.flow_prefix, flows), *inputs])
        return super()._book(record, lazy, with_inputs=with_inputs)

    def _flows_of_book(self, book_uuid: str) -> Iterator[str]:
        for item in self._open_transaction.items(layout.flows_of_book_prefix(book_uuid)):
            yield layout.decode(item.value)

    def _read_books(self, uuid: str | None = None) -> list[BookRecord]:
        if uuid is not None:
            text = self._open_transaction.get(layout.book_key(uuid))
            return [] if text is None else [layout.decode_book(text)[1]]
        items = self._open_transaction.items(layout.BOOKS)
        rows = (item.value for item in items if item.key.endswith("/row"))
        return [record for _, record in sorted(map(layout.decode_book, rows))]

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
            pages = [list(self._flows_of_book(book_uuid))]
        else:
            pages = self._all_flows(newest_first=newest_first)
        matching = (
            record
            for page in pages
            for record in self._open_transaction.read_flows(page)
            if book_uuid in (None, record.book_uuid) and (state is None or state == record.state)
        )
        return list(islice(matching, limit))

    def _all_flows(self, *, newest_first: bool) -> Iterator[list[str]]:
        after = ""
        while page := self._kv.list(layout.FLOWS, after, _PAGE_SIZE, reverse=newest_first):
            yield [layout.decode(item.value) for item in page]
            after = page[-1].key

    def _read_atoms(self, flow_uuid: str) -> Iterable[AtomRecord]:
        return self._open_transaction.read_atoms(flow_uuid)

    def _read_atom(self, uuid: str) -> AtomRecord | None:
        flows = chain.from_iterable(self._all_flows(newest_first=True))
        # One atom of a flow is often read after another.
        last = [] if self._last_flow is None else [self._last_flow]
        for flow_uuid in chain(last, flows):
            record = self._open_transaction.read_atom(flow_uuid, uuid)
            if record is not None:
                self._last_flow = flow_uuid
                return record
        return None

    def _read_values(self, flow_uuid: str) -> Iterable[AtomValue]:  # noqa: ARG002  read with the atoms
        return ()

    def _read_attempts(self, flow_uuid: str) -> Iterable[AttemptRow]:
        return self._open_transaction.read_attempts(flow_uuid)

    def _read_inputs(self, flow_uuid: str) -> Iterable[InputRow]:
        return self._open_transaction.read_inputs(flow_uuid)

    def _read_transitions(self, flow_uuid: str, after: int, limit: int | None) -> list[Transition]:
        return list(islice(self._transitions(flow_uuid, after), limit))

    def _transitions(self, flow_uuid: str, after: int) -> Iterator[Transition]:
        head = self._open_transaction.read_head(flow_uuid)
        count = 0 if head is None else head.transitions  # others are those of an interrupted checkpoint
        number = after // layout.TRANSITIONS_PER_PAGE
        last = layout.history_key(flow_uuid, number - 1) if number else ""
        while pages := self._kv.list(layout.history_prefix(flow_uuid), last, _PAGE_SIZE):
            for page in pages:
                last = page.key
                for transition in layout.decode_transitions(page.value, int(page.key.rpartition("/")[2])):
                    if after < transition.seq <= count:
                        yield transition

    # ------------------------------------------------------------------ writing

    def _apply(self, changes: Changes) -> None:
        self._open_transaction.apply(changes, self._next_sort_key)

    def _set_owner(self, flow_uuid: str, epoch: int, owner: str, at: float) -> None:
        self._open_transaction.set_owner(flow_uuid, epoch, owner, at)

    def _delete_book(self, uuid: str) -> bool:
        return self._open_transaction.delete_book(uuid)

    def _delete_all(self) -> None:
        self._open_transaction.delete_all()

    def _write_checkpoint(self, cp: Checkpoint) -> None:
        limits = self._kv.limits
        try:
            self._try_to_write(cp)
        except exc.ValueTooLarge:
            if self._kv.limits == limits:
                raise
            # The server takes less than was known: with lower limits it is split.
            self._cursor = None
            self._write_checkpoint(cp)

    def _try_to_write(self, cp: Checkpoint) -> None:
        at = self._backend.clock.now()
        cursor, self._cursor = self._cursor, None
        if cursor is not None and cursor.flow_uuid == cp.flow_uuid:
            try:
                cursor.write(cp, at)
            except (exc.Conflict, exc.OwnershipLost, exc.NotFound):
                pass  # the cursor is out of date: a new one is read below
            else:
                self._cursor = cursor
                return
        self._cursor = self._retry_conflicts(self._write_with_new_cursor, cp, at)

    def _write_with_new_cursor(self, cp: Checkpoint, at: float) -> CheckpointCursor:
        cursor = CheckpointCursor.read(self._kv, cp.flow_uuid)
        cursor.write(cp, at)
        return cursor


class KVBackend(Backend):
    """Stores flows in a key-value store.

    Args:
        conf: the URL of the store, such as "dir:///var/lib/app", or a mapping with one under "connection" and
            options beside it.
        codec: encodes values as text.
        clock: the source of time.
        store: the store, instead of one for the URL; it is closed with the backend.

    Raises:
        InvalidFormat: the URL or one of its options is invalid.
    """

    def __init__(
        self,
        conf: Mapping[str, Any] | str,
        codec: TextCodec = codecs.DEFAULT,
        clock: Clock = SYSTEM,
        store: KV | None = None,
    ) -> None:
        super().__init__(urls.parse(conf).conf, codec=codec, clock=clock)
        self.kv = stores.fetch(conf, clock=clock) if store is None else store
        self._last_sort_key = 0
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The URL, without password and options."""
        return self.kv.name

    def get_connection(self) -> KVConnection:
        """Return a connection, for one thread at a time."""
        return KVConnection(self, self.kv, self.next_sort_key)

    def close(self) -> None:
        """Close the store."""
        self.kv.close()

    def next_sort_key(self) -> str:
        """Return a key that sorts after all that this backend returned: microseconds, in 17 digits."""
        with self._lock:
            self._last_sort_key = max(self._last_sort_key + 1, int(self.clock.now() * 1_000_000))
            return f"{self._last_sort_key:017}"
