"""The reference backend: the same text rows in dictionaries, under one lock.

``memory`` is a store of its own that lasts as long as its backend; ``memory://name`` is one store for all
backends with that name in this process, until the process ends.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any, Final

from stackl_flow import codec as codecs
from stackl_flow import urls
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.codec import TextCodec
from stackl_flow.persistence.base import Backend, Connection
from stackl_flow.persistence.records import (
    AtomRecord,
    AtomValue,
    AttemptRow,
    BookRecord,
    Changes,
    Checkpoint,
    FlowRecord,
    InputRow,
    Transition,
    duplicate,
    not_found,
    ownership_lost,
)


class _Store:
    """All rows of one store."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.clear()

    def clear(self) -> None:
        self.books: dict[str, BookRecord] = {}
        self.flows: dict[str, FlowRecord] = {}
        self.flows_of_book: defaultdict[str, list[str]] = defaultdict(list)
        self.atoms: dict[str, AtomRecord] = {}
        self.atoms_of_flow: defaultdict[str, list[str]] = defaultdict(list)
        self.history_of_flow: defaultdict[str, list[Transition]] = defaultdict(list)
        self.inputs_of_flow: defaultdict[str, dict[tuple[str, str], InputRow]] = defaultdict(dict)
        self.values: dict[str, dict[str, AtomValue]] = {}
        self.attempts: dict[str, list[AttemptRow]] = {}
        self.seq: Iterator[int] = count(1)


_NAMED: Final[dict[str, _Store]] = {}
_NAMED_LOCK: Final = threading.Lock()


class MemoryBackend(Backend):
    """Stores flows in the memory of this process.

    Args:
        conf: "memory" or "memory://name", or a mapping with one of them under "connection".
        codec: encodes values as text.
        clock: the source of time.
    """

    def __init__(
        self, conf: Mapping[str, Any] | None = None, codec: TextCodec = codecs.DEFAULT, clock: Clock = SYSTEM
    ) -> None:
        super().__init__(conf, codec=codec, clock=clock)
        options = urls.parse(conf or "memory").read_options()
        self._name = options.masked_url
        if options.location:
            with _NAMED_LOCK:
                self.store = _NAMED.setdefault(options.location, _Store())
        else:
            self.store = _Store()

    @property
    def name(self) -> str:
        """The URL."""
        return self._name

    def get_connection(self) -> MemoryConnection:
        """Return a connection, for one thread at a time."""
        return MemoryConnection(self)

    def close(self) -> None:
        """Do nothing: an unnamed store is gone when nothing refers to it."""


class MemoryConnection(Connection):
    """Reads and writes a store in memory."""

    def __init__(self, backend: MemoryBackend) -> None:
        super().__init__(backend)
        self._store = backend.store

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def upgrade(self) -> None:
        """Do nothing: memory is never older than the code."""

    def validate(self) -> None:
        """Do nothing: memory can always be used."""

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[None]:  # noqa: ARG002  readers need the lock as well
        with self._store.lock:
            yield

    def _read_books(self, uuid: str | None = None) -> list[BookRecord]:
        books = self._store.books
        if uuid is None:
            return list(books.values())
        return [books[uuid]] if uuid in books else []

    def _read_flows(
        self,
        uuid: str | None = None,
        book_uuid: str | None = None,
        state: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[FlowRecord]:
        flows = self._store.flows
        uuids = flows if book_uuid is None else self._store.flows_of_book.get(book_uuid, ())
        rows = [flows[each] for each in (uuids if uuid is None else [uuid]) if each in flows]
        if newest_first:
            rows.reverse()
        matching = [
            row
            for row in rows
            if book_uuid in (None, row.book_uuid) and (state is None or state == row.state)
        ]
        return matching if limit is None else matching[:limit]

    def _read_atoms(self, flow_uuid: str) -> Iterable[AtomRecord]:
        return [self._store.atoms[uuid] for uuid in self._store.atoms_of_flow.get(flow_uuid, ())]

    def _read_atom(self, uuid: str) -> AtomRecord | None:
        return self._store.atoms.get(uuid)

    def _read_values(self, flow_uuid: str) -> Iterable[AtomValue]:
        store = self._store
        uuids = store.atoms_of_flow.get(flow_uuid, ())
        return [row for uuid in uuids for row in store.values.get(uuid, {}).values()]

    def _read_attempts(self, flow_uuid: str) -> Iterable[AttemptRow]:
        store = self._store
        uuids = store.atoms_of_flow.get(flow_uuid, ())
        return [row for uuid in uuids for row in store.attempts.get(uuid, ())]

    def _read_inputs(self, flow_uuid: str) -> Iterable[InputRow]:
        return list(self._store.inputs_of_flow.get(flow_uuid, {}).values())

    def _read_transitions(self, flow_uuid: str, after: int, limit: int | None) -> list[Transition]:
        rows = [row for row in self._store.history_of_flow.get(flow_uuid, ()) if row.seq > after]
        return rows if limit is None else rows[:limit]

    def _apply(self, changes: Changes) -> None:
        store = self._store
        # Everything is checked before the first row is written, because nothing can be rolled back.
        _check_unique("flow", store.flows, [row.uuid for row in changes.new_flows])
        _check_unique("atom", store.atoms, [row.uuid for row in changes.new_atoms])
        _check_unique("logbook", store.books, [row.uuid for row in changes.new_books])
        store.books.update((row.uuid, row) for row in (*changes.books, *changes.new_books))
        store.flows.update((row.uuid, row) for row in (*changes.new_flows, *changes.flows))
        for flow in changes.new_flows:
            store.flows_of_book[flow.book_uuid].append(flow.uuid)
        for row in changes.new_atoms:
            store.atoms[row.uuid] = row
            store.atoms_of_flow[row.flow_uuid].append(row.uuid)
        store.atoms.update((row.uuid, row) for row in changes.atoms)
        self._write_other_rows(changes)

    def _write_other_rows(self, changes: Changes | Checkpoint) -> None:
        store = self._store
        for value in changes.values:
            columns = store.values.setdefault(value.atom_uuid, {})
            columns.pop(value.name, None)
            if value.value is not None:
                columns[value.name] = value
        for uuid, keep, rows in changes.attempts:
            store.attempts.setdefault(uuid, [])[keep:] = rows
        for row in changes.inputs:
            inputs = store.inputs_of_flow[row.flow_uuid]
            for key in [key for key in inputs if key[0] == row.part and row.name in (None, key[1])]:
                if row.value is None:
                    del inputs[key]
            if row.name is not None and row.value is not None:
                inputs[row.part, row.name] = row

    def _set_owner(self, flow_uuid: str, epoch: int, owner: str, at: float) -> None:
        flow = self._store.flows[flow_uuid]
        self._store.flows[flow_uuid] = flow._replace(epoch=epoch, owner=owner, updated_at=at)

    def _delete_book(self, uuid: str) -> bool:
        store = self._store
        if store.books.pop(uuid, None) is None:
            return False
        for flow in store.flows_of_book.pop(uuid, ()):
            del store.flows[flow]
            store.history_of_flow.pop(flow, None)
            store.inputs_of_flow.pop(flow, None)
            for atom in store.atoms_of_flow.pop(flow, ()):
                del store.atoms[atom]
                store.values.pop(atom, None)
                store.attempts.pop(atom, None)
        return True

    def _delete_all(self) -> None:
        self._store.clear()

    def _write_checkpoint(self, cp: Checkpoint) -> None:
        store = self._store
        with store.lock:
            flow = store.flows.get(cp.flow_uuid)
            if flow is None:
                raise not_found("flow", cp.flow_uuid)
            if flow.epoch != cp.epoch:
                raise ownership_lost(cp.flow_uuid, cp.epoch, flow.epoch, flow.owner)
            updated = []
            for uuid, *values in cp.atoms:
                atom = store.atoms.get(uuid)
                if atom is None or atom.flow_uuid != cp.flow_uuid:
                    raise not_found("atom", uuid)
                updated.append(atom.with_values(values))
            store.atoms.update((row.uuid, row) for row in updated)
            if cp.changes_flow:
                store.flows[cp.flow_uuid] = flow._replace(
                    state=flow.state if cp.flow_state is None else cp.flow_state,
                    meta=flow.meta if cp.flow_meta is None else cp.flow_meta,
                    updated_at=self._backend.clock.now(),
                    inputs_version=flow.inputs_version + bool(cp.inputs),
                )
            self._write_other_rows(cp)
            store.history_of_flow[cp.flow_uuid] += [
                Transition(next(store.seq), *transition[1:]) for transition in cp.transitions
            ]


def _check_unique(what: str, stored: Mapping[str, Any], uuids: list[str]) -> None:
    taken = stored.keys() & uuids
    if taken or len(set(uuids)) != len(uuids):
        raise duplicate(what, min(taken or uuids))
