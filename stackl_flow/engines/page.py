"""A page of the ledger: what is to be written with the next entry."""

from __future__ import annotations

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

    @property
    def blank(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.atoms or self.moves or self.meta_changed or self.flow_moved)

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
        return Checkpoint(
            flow.uuid,
            epoch,
            owner,
            flow.state if self.flow_moved else None,
            codec.encode(flow.meta) if self.meta_changed else None,
            [forms.atom_move(codec, detail) for detail in self.atoms.values()],
            self.moves,
        )
