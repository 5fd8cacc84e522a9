"""A page of the ledger: what is to be written with the next entry."""

from __future__ import annotations

from typing import Any

from stackl_flow.codec import TextCodec
from stackl_flow.persistence import forms
from stackl_flow.persistence.base import Checkpoint
from stackl_flow.persistence.models import AtomDetail, FlowDetail


class Page:
    """Collects what changed since the last entry; turned when that has been written."""

    def __init__(self) -> None:
        self.atoms: dict[str, AtomDetail] = {}
        self.moves: list[tuple[str | None, str | None, str | None, float]] = []
        self.flow_moved = False
        self.meta_changed = False
        self._encoded: dict[str, tuple[Any, str]] = {}

    @property
    def blank(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.atoms or self.moves or self.meta_changed or self.flow_moved)

    def keep(self, detail: AtomDetail, result: Any, codec: TextCodec) -> None:
        """Encode a result now, so that it is known that it can be stored, and keep the text for the entry.

        Args:
            detail: whose result it is.
            result: what ``execute`` gave.
            codec: makes the text.

        Raises:
            NotSerializable: the value has no JSON form.
        """
        self._encoded[detail.uuid] = (result, codec.encode(result))

    def checkpoint(self, flow: FlowDetail, codec: TextCodec, epoch: int, owner: str) -> Checkpoint:
        """Put what changed into the form that is stored.

        Args:
            flow: the flow.
            codec: makes the text.
            epoch: the owner's epoch.
            owner: who writes.

        Returns:
            The entry.

        Raises:
            NotSerializable: a value has no JSON form; the message names its atom.
        """
        encoded = self._encoded.get
        return Checkpoint(
            flow.uuid,
            epoch,
            owner,
            flow.state if self.flow_moved else None,
            codec.encode(flow.meta) if self.meta_changed else None,
            [forms.atom_move(codec, detail, encoded(uuid)) for uuid, detail in self.atoms.items()],
            self.moves,
        )
