"""What a checkpoint has to know of its flow, kept from one to the next: so that it reads nothing."""

from __future__ import annotations

from typing import Any, Self

from stackl_flow.kv.base import KV
from stackl_flow.kv.items import Check, Put
from stackl_flow.persistence.backends.kv import layout
from stackl_flow.persistence.backends.kv.layout import Head, Row
from stackl_flow.persistence.records import Checkpoint
from stackl_flow.persistence.rows import lost, missing


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
            raise missing("flow", flow_uuid)
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
            raise lost(cp.flow_uuid, cp.epoch, head.epoch, head.owner)
        head = head._replace(writes=head.writes + 1)
        for move in cp.atoms:
            if move.uuid not in self._known_atoms():
                raise missing("atom", move.uuid)
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
