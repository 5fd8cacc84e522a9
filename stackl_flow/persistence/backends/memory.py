"""The reference backend: the same text rows in dictionaries, under one lock.

``memory`` is a store of its own that lives as long as its backend; ``memory://name`` is one store for all who
say that name in this process, kept until the process ends.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any, Final

from stackl_flow import codec as codecs
from stackl_flow import exceptions as exc
from stackl_flow import urls
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.codec import TextCodec
from stackl_flow.persistence.base import (
    AtomRecord,
    Backend,
    BookRecord,
    Changes,
    Checkpoint,
    Connection,
    FlowRecord,
    Transition,
)
from stackl_flow.persistence.records import not_found, ownership_lost


class _Store:
    """Everything in one place of memory."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.clear()

    def clear(self) -> None:
        self.books: dict[str, BookRecord] = {}
        self.flows: dict[str, FlowRecord] = {}
        self.flows_of: defaultdict[str, list[str]] = defaultdict(list)
        self.atoms: dict[str, AtomRecord] = {}
        self.atoms_of: defaultdict[str, list[str]] = defaultdict(list)
        self.moves_of: defaultdict[str, list[Transition]] = defaultdict(list)
        self.seq: Iterator[int] = count(1)


_NAMED: Final[dict[str, _Store]] = {}
_NAMED_LOCK: Final = threading.Lock()


class MemoryBackend(Backend):
    """Keeps everything in this process.

    Args:
        conf: "connection" is "memory" or "memory://name".
        codec: makes text of values and values of text; the shared one if left out.
        clock: tells when rows were made.
    """

    def __init__(
        self, conf: Mapping[str, Any] | None = None, codec: TextCodec = codecs.DEFAULT, clock: Clock = SYSTEM
    ) -> None:
        super().__init__(conf, codec=codec, clock=clock)
        place = urls.parse(conf or "memory").read_options()
        self._name = place.masked_url
        if place.location:
            with _NAMED_LOCK:
                self.store = _NAMED.setdefault(place.location, _Store())
        else:
            self.store = _Store()

    @property
    def name(self) -> str:
        """What to call this place in messages."""
        return self._name

    def get_connection(self) -> MemoryConnection:
        """Make a connection, to be used by one thread at a time.

        Returns:
            The connection.
        """
        return MemoryConnection(self)

    def close(self) -> None:
        """Do nothing: the store goes when nobody refers to it any more."""


class MemoryConnection(Connection):
    """Reads and writes a store in memory.

    Args:
        backend: the backend with the store.
    """

    def __init__(self, backend: MemoryBackend) -> None:
        super().__init__(backend)
        self._store = backend.store

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""

    def upgrade(self) -> None:
        """Do nothing: memory is never older than the code."""

    def validate(self) -> None:
        """Do nothing: memory can always be used."""

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[None]:  # noqa: ARG002  a reader needs the lock as well
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
        uuids = flows if book_uuid is None else self._store.flows_of.get(book_uuid, ())
        rows = [flows[each] for each in (uuids if uuid is None else [uuid]) if each in flows]
        if newest_first:
            rows.reverse()
        found = [
            row
            for row in rows
            if book_uuid in (None, row.book_uuid) and (state is None or state == row.state)
        ]
        return found if limit is None else found[:limit]

    def _read_atoms(self, flow_uuid: str) -> Iterable[AtomRecord]:
        return [self._store.atoms[uuid] for uuid in self._store.atoms_of.get(flow_uuid, ())]

    def _read_atom(self, uuid: str) -> AtomRecord | None:
        return self._store.atoms.get(uuid)

    def _read_transitions(self, flow_uuid: str, after: int, limit: int | None) -> list[Transition]:
        found = [move for move in self._store.moves_of.get(flow_uuid, ()) if move.seq > after]
        return found if limit is None else found[:limit]

    def _apply(self, changes: Changes) -> None:
        store = self._store
        # All that can be refused is refused before the first row is written: there is no undoing here.
        _refuse_taken("flow", store.flows, [row.uuid for row in changes.new_flows])
        _refuse_taken("atom", store.atoms, [row.uuid for row in changes.new_atoms])
        store.books.update((row.uuid, row) for row in changes.books)
        store.flows.update((row.uuid, row) for row in (*changes.new_flows, *changes.flows))
        for flow in changes.new_flows:
            store.flows_of[flow.book_uuid].append(flow.uuid)
        for row in changes.new_atoms:
            store.atoms[row.uuid] = row
            store.atoms_of[row.flow_uuid].append(row.uuid)
        store.atoms.update((row.uuid, row) for row in changes.atoms)

    def _set_owner(self, flow_uuid: str, epoch: int, owner: str, at: float) -> None:
        flow = self._store.flows[flow_uuid]
        self._store.flows[flow_uuid] = flow._replace(epoch=epoch, owner=owner, updated_at=at)

    def _delete_book(self, uuid: str) -> bool:
        store = self._store
        if store.books.pop(uuid, None) is None:
            return False
        for flow in store.flows_of.pop(uuid, ()):
            del store.flows[flow]
            store.moves_of.pop(flow, None)
            for atom in store.atoms_of.pop(flow, ()):
                del store.atoms[atom]
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
            moved = []
            for uuid, *values in cp.atoms:
                atom = store.atoms.get(uuid)
                if atom is None or atom.flow_uuid != cp.flow_uuid:
                    raise not_found("atom", uuid)
                moved.append(AtomRecord(*atom[:5], *values))
            store.atoms.update((row.uuid, row) for row in moved)
            if cp.flow_state is not None or cp.flow_meta is not None:
                store.flows[cp.flow_uuid] = flow._replace(
                    state=flow.state if cp.flow_state is None else cp.flow_state,
                    meta=flow.meta if cp.flow_meta is None else cp.flow_meta,
                    updated_at=self._backend.clock.now(),
                )
            store.moves_of[cp.flow_uuid].extend(
                Transition(next(store.seq), *move, cp.owner) for move in cp.transitions
            )


def _refuse_taken(what: str, known: Mapping[str, Any], uuids: list[str]) -> None:
    taken = known.keys() & uuids
    if taken or len(set(uuids)) != len(uuids):
        raise exc.Duplicate(f"a {what} with uuid {min(taken or uuids)!r} is stored already")
