"""TaskFlow's `taskflow.persistence.base`: the base classes of backends that are written for TaskFlow.

Such a backend has TaskFlow's methods and no ownership or checkpoints, which are built from those methods
here. The guarantees are those of TaskFlow: a checkpoint is not one transaction, and ownership is known in
this process only. The backends of this library have both; see `docs/concepts/persistence.md`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Self

import tenacity

from stackl_flow import exceptions as exc
from stackl_flow.compat.persistence.codecs import CopyingCodec
from stackl_flow.persistence import base, serialization
from stackl_flow.persistence.models import AtomDetail, FlowDetail, LogBook
from stackl_flow.persistence.records import (
    VALUE_COLUMNS,
    AtomRows,
    Checkpoint,
    is_reference,
    ownership_lost,
)

#: The number of attempts to store a checkpoint.
ATTEMPTS: Final = 3
#: The delay between attempts, in seconds.
WAIT: Final = 5.0


class Backend(base.Backend):
    """Base class of backends; all backends of this library are virtual subclasses.

    Args:
        conf: the settings.

    Raises:
        TypeError: the settings are not a dictionary.
    """

    def __init__(self, conf: Mapping[str, Any] | None = None) -> None:
        if conf and not isinstance(conf, Mapping):
            raise TypeError(f"settings must be a dictionary, not {type(conf).__name__}: {conf!r}")
        # The backend encodes and copies values itself.
        super().__init__(conf, codec=CopyingCodec(lambda value: value))
        self._conf = self.conf
        self.owners: dict[str, tuple[int, str]] = {}

    @classmethod
    def __subclasshook__(cls, other: type) -> Any:
        # issubclass() would recurse, because this class derives from base.Backend.
        return True if cls is Backend and base.Backend in other.__mro__ else NotImplemented

    @property
    def name(self) -> str:
        """The name for messages."""
        return type(self).__name__


class Connection(abc.ABC):
    """Base class of connections; all connections of this library are virtual subclasses."""

    @classmethod
    def __subclasshook__(cls, other: type) -> Any:
        return True if cls is Connection and base.Connection in other.__mro__ else NotImplemented

    @property
    @abc.abstractmethod
    def backend(self) -> Any:
        """The backend of this connection."""

    @abc.abstractmethod
    def close(self) -> None:
        """Release the resources of this connection."""

    @abc.abstractmethod
    def upgrade(self) -> None:
        """Upgrade the stored schema to the version of this code."""

    @abc.abstractmethod
    def clear_all(self) -> None:
        """Delete everything."""

    @abc.abstractmethod
    def validate(self) -> None:
        """Check that the backend can be used."""

    @abc.abstractmethod
    def update_atom_details(self, atom_detail: AtomDetail) -> AtomDetail:
        """Store an atom that was saved before."""

    @abc.abstractmethod
    def update_flow_details(self, flow_detail: FlowDetail) -> FlowDetail:
        """Store a flow that was saved before, with its atoms."""

    @abc.abstractmethod
    def save_logbook(self, book: LogBook) -> LogBook:
        """Store a logbook with its flows and their atoms."""

    @abc.abstractmethod
    def destroy_logbook(self, book_uuid: str) -> None:
        """Delete a logbook with its flows and their atoms."""

    @abc.abstractmethod
    def get_logbook(self, book_uuid: str, lazy: bool = False) -> LogBook:
        """Read a logbook."""

    @abc.abstractmethod
    def get_logbooks(self, lazy: bool = False) -> Iterable[LogBook]:
        """Read all logbooks."""

    @abc.abstractmethod
    def get_flows_for_book(self, book_uuid: str) -> Iterable[FlowDetail]:
        """Read the flows of a logbook."""

    @abc.abstractmethod
    def get_flow_details(self, fd_uuid: str, lazy: bool = False) -> FlowDetail:
        """Read a flow."""

    @abc.abstractmethod
    def get_atom_details(self, ad_uuid: str) -> AtomDetail:
        """Read an atom."""

    @abc.abstractmethod
    def get_atoms_for_flow(self, fd_uuid: str) -> Iterable[AtomDetail]:
        """Read the atoms of a flow."""

    # ------------------------------------------------------------- methods that the engines need besides

    max_value: int | None = None

    def stored_size(self, text: str) -> int:
        """Return how many bytes of ``max_value`` a text takes."""
        return len(text.encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add_logbooks(self, books: Iterable[Any]) -> None:
        """Store new logbooks with their flows."""
        for book in books:
            self.save_logbook(book)

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
        """Store new atoms of a flow.

        Args:
            flow_uuid: UUID of the flow.
            details: the atoms.
            epoch: the epoch of the caller, checked if given.

        Raises:
            OwnershipLost: another engine in this process owns the flow now.
        """
        self._check_owner(flow_uuid, epoch)
        flow = self.get_flow_details(flow_uuid)
        for detail in details:
            flow.add(detail)
        self.update_flow_details(flow)

    def checkpoint(self, cp: Checkpoint) -> None:
        """Store the changes of one engine step, atom by atom; repeat a failed attempt after `WAIT` seconds.

        Args:
            cp: the changes, with the epoch of the engine; transitions are not stored.

        Raises:
            OwnershipLost: another engine in this process owns the flow now.
            StorageFailure: all attempts failed.
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
        long = {row[:2]: row.value for row in cp.values}
        attempts = {change.retry_uuid: change for change in cp.attempts}
        for update in cp.atoms:
            detail = self.get_atom_details(update.uuid)
            (rows,) = serialization.atom_rows(codec, cp.flow_uuid, [detail])
            record = rows.record.with_values(update[1:])
            texts: dict[str, Any] = {
                name: long.get((update.uuid, name), getattr(rows.record, name))
                for name in VALUE_COLUMNS
                if is_reference(getattr(record, name))
            }
            changed = attempts.get(update.uuid)
            history = rows.attempts if changed is None else (*rows.attempts[: changed.keep], *changed.rows)
            new = serialization.atom_detail(codec, AtomRows(record._replace(**texts), history))
            detail.update(new)
            self.update_atom_details(detail)
        if cp.changes_flow:
            flow = self.get_flow_details(cp.flow_uuid, lazy=True)
            flow.state = flow.state if cp.flow_state is None else cp.flow_state
            flow.meta = serialization.changed_meta(codec, flow, cp)
            self.update_flow_details(flow)

    def _check_owner(self, flow_uuid: str, epoch: int | None) -> None:
        stored, owner = self.backend.owners.get(flow_uuid, (0, ""))
        if epoch is not None and epoch != stored:
            raise ownership_lost(flow_uuid, epoch, stored, owner)
