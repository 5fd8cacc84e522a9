"""TaskFlow's `taskflow.persistence.base`: what a backend made for TaskFlow stands on.

Such a backend knows TaskFlow's verbs and nothing of owners and checkpoints; here these are made of those
verbs. It gives what it gave under TaskFlow: a checkpoint is not one transaction, and an owner is known in
this process only. A backend of ours gives both; see `docs/persistence.md`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Self

import tenacity

from stackl_flow import exceptions as exc
from stackl_flow.compat.persistence.codecs import Keeping
from stackl_flow.persistence import base, serialization
from stackl_flow.persistence.models import AtomDetail, FlowDetail, LogBook
from stackl_flow.persistence.records import AtomRecord, Checkpoint, ownership_lost

#: How often a backend made for TaskFlow is asked to save, and how many seconds apart.
ATTEMPTS: Final = 3
WAIT: Final = 5.0


class Backend(base.Backend):
    """A place where flows are remembered; every backend of ours is one of these.

    Args:
        conf: the settings.

    Raises:
        TypeError: the settings are no dictionary.
    """

    def __init__(self, conf: Mapping[str, Any] | None = None) -> None:
        if conf and not isinstance(conf, Mapping):
            raise TypeError(f"a dictionary of settings is needed, not {type(conf).__name__}: {conf!r}")
        # What it is given it stores in its own way, and copies if it has to.
        super().__init__(conf, codec=Keeping(lambda value: value))
        self._conf = self.conf
        self.owners: dict[str, tuple[int, str]] = {}

    @classmethod
    def __subclasshook__(cls, other: type) -> Any:
        # Not by issubclass, which would come back here: this class is one of those below ours.
        return True if cls is Backend and base.Backend in other.__mro__ else NotImplemented

    @property
    def name(self) -> str:
        """What to call this place in messages."""
        return type(self).__name__


class Connection(abc.ABC):
    """The verbs on stored books, flows and atoms; every connection of ours is one of these."""

    @classmethod
    def __subclasshook__(cls, other: type) -> Any:
        return True if cls is Connection and base.Connection in other.__mro__ else NotImplemented

    @property
    @abc.abstractmethod
    def backend(self) -> Any:
        """The place this connection leads to."""

    @abc.abstractmethod
    def close(self) -> None:
        """Let go of what this connection holds."""

    @abc.abstractmethod
    def upgrade(self) -> None:
        """Bring the place to the version of this code."""

    @abc.abstractmethod
    def clear_all(self) -> None:
        """Delete everything."""

    @abc.abstractmethod
    def validate(self) -> None:
        """Check that the place can be used."""

    @abc.abstractmethod
    def update_atom_details(self, atom_detail: AtomDetail) -> AtomDetail:
        """Store an atom that was saved before."""

    @abc.abstractmethod
    def update_flow_details(self, flow_detail: FlowDetail) -> FlowDetail:
        """Store a flow that was saved before, and its atoms."""

    @abc.abstractmethod
    def save_logbook(self, book: LogBook) -> LogBook:
        """Store a book with its flows and their atoms."""

    @abc.abstractmethod
    def destroy_logbook(self, book_uuid: str) -> None:
        """Delete a book and all that is in it."""

    @abc.abstractmethod
    def get_logbook(self, book_uuid: str, lazy: bool = False) -> LogBook:
        """Read a book."""

    @abc.abstractmethod
    def get_logbooks(self, lazy: bool = False) -> Iterable[LogBook]:
        """Read all books."""

    @abc.abstractmethod
    def get_flows_for_book(self, book_uuid: str) -> Iterable[FlowDetail]:
        """Read the flows of a book."""

    @abc.abstractmethod
    def get_flow_details(self, fd_uuid: str, lazy: bool = False) -> FlowDetail:
        """Read a flow."""

    @abc.abstractmethod
    def get_atom_details(self, ad_uuid: str) -> AtomDetail:
        """Read an atom."""

    @abc.abstractmethod
    def get_atoms_for_flow(self, fd_uuid: str) -> Iterable[AtomDetail]:
        """Read the atoms of a flow."""

    # ------------------------------------------------------------- what our engines say besides

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def take_ownership(
        self,
        flow_uuid: str,
        owner: str,
        at: float,
        missing_atoms: Callable[[FlowDetail], Iterable[AtomDetail]] | None = None,
    ) -> int:
        """Take ownership of a flow within this process, and store the atoms that it lacks.

        Args:
            flow_uuid: UUID of the flow.
            owner: name of the new owner.
            at: ignored; the time is not stored.
            missing_atoms: receives the stored flow and returns the atoms to add.

        Returns:
            The new epoch, to be passed with every checkpoint.
        """
        del at
        epoch: int = self.backend.owners.get(flow_uuid, (0, ""))[0] + 1
        self.backend.owners[flow_uuid] = (epoch, owner)
        added = list(missing_atoms(self.get_flow_details(flow_uuid))) if missing_atoms else []
        if added:
            self.add_atoms(flow_uuid, added, epoch)
        return epoch

    def add_atoms(self, flow_uuid: str, details: Iterable[AtomDetail], epoch: int | None = None) -> None:
        """Store many new atoms of a flow.

        Args:
            flow_uuid: the flow.
            details: the atoms.
            epoch: the epoch of the caller, checked when given.

        Raises:
            OwnershipLost: somebody else in this process owns the flow now.
        """
        self._check_owner(flow_uuid, epoch)
        flow = self.get_flow_details(flow_uuid)
        for detail in details:
            flow.add(detail)
        self.update_flow_details(flow)

    def checkpoint(self, cp: Checkpoint) -> None:
        """Store what one step of an engine changed, atom by atom; if it fails, again some seconds later.

        Args:
            cp: the changes, with the epoch of the engine; the history of moves is not kept.

        Raises:
            OwnershipLost: somebody else in this process owns the flow now.
            StorageFailure: no attempt came to an end.
        """
        self._check_owner(cp.flow_uuid, cp.epoch)
        tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(exc.StorageFailure),
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=tenacity.wait_fixed(WAIT),
            sleep=self.backend.clock.sleep,
            reraise=True,
        )(self._write, cp)

    def _write(self, cp: Checkpoint) -> None:
        codec = self.backend.codec
        for uuid, *values in cp.atoms:
            detail = self.get_atom_details(uuid)
            (kind,) = serialization.atom_records(codec, cp.flow_uuid, [detail])
            detail.update(serialization.atom_detail(codec, AtomRecord(*kind[:5], *values)))
            detail.load_meta(detail.stored_meta())
            self.update_atom_details(detail)
        if cp.flow_state is not None or cp.flow_meta is not None:
            flow = self.get_flow_details(cp.flow_uuid, lazy=True)
            flow.state = flow.state if cp.flow_state is None else cp.flow_state
            flow.meta = flow.meta if cp.flow_meta is None else codec.decode(cp.flow_meta)
            self.update_flow_details(flow)

    def _check_owner(self, flow_uuid: str, epoch: int | None) -> None:
        stored, owner = self.backend.owners.get(flow_uuid, (0, ""))
        if epoch is not None and epoch != stored:
            raise ownership_lost(flow_uuid, epoch, stored, owner)
