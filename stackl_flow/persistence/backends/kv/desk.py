"""What a checkpoint has to know of its flow, kept from one to the next: so that it reads nothing."""

from __future__ import annotations

from typing import Any

from stackl_flow.kv.base import KV
from stackl_flow.kv.items import Check, Put
from stackl_flow.persistence.backends.kv import layout
from stackl_flow.persistence.backends.kv.layout import Head
from stackl_flow.persistence.records import Checkpoint
from stackl_flow.persistence.rows import lost, missing


class Desk:
    """The head of a flow as it was last seen, the last page of its moves and the names of its atoms.

    Args:
        kv: the place.
        flow_uuid: the flow.

    Raises:
        NotFound: there is no such flow.
    """

    def __init__(self, kv: KV, flow_uuid: str) -> None:
        self._kv = kv
        self.flow_uuid = flow_uuid
        self._key = layout.head_key(flow_uuid)
        item = kv.get(self._key)
        if item is None:
            raise missing("flow", flow_uuid)
        self._version = item.version
        self._head = Head(*layout.read(item.value))
        self._page: list[list[Any]] = []
        if self._head.moves % layout.PAGE:
            page = kv.get(layout.history_key(flow_uuid, self._head.moves // layout.PAGE))
            self._page = [] if page is None else layout.read(page.value)
        self._atoms: set[str] | None = None

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
        if cp.flow_meta is not None:
            puts.append(self._with_meta(cp.flow_meta))
        page = self._page
        if cp.transitions:
            pages = list(layout.add_moves(page, cp.transitions, cp.owner, head.moves))
            puts += [
                Put(layout.history_key(cp.flow_uuid, number), layout.write(each)) for number, each in pages
            ]
            page = pages[-1][1]
            head = head._replace(moves=head.moves + len(cp.transitions))
        puts.append(Put(self._key, layout.write(head)))
        self._version = self._kv.commit([Check(self._key, self._version)], puts)
        self._head = head
        self._page = page if head.moves % layout.PAGE else []

    def _with_meta(self, meta: str) -> Put:
        key = layout.row_key(self.flow_uuid)
        item = self._kv.get(key)
        if item is None:
            raise missing("flow", self.flow_uuid)
        return Put(key, layout.write(layout.Row(*layout.read(item.value))._replace(meta=meta)))

    def _known_atoms(self) -> set[str]:
        if self._atoms is None:
            pages = self._kv.list(f"{layout.flow_prefix(self.flow_uuid)}made/")
            counted = pages[: self._head.pages]
            self._atoms = {line[0] for page in counted for line in layout.read(page.value)}
        return self._atoms
