"""The rows that backends store, and the operations on rows that a backend implements.

Rows are frozen, and their values are JSON text: a backend never sees a value of a user. Times are seconds
since the epoch (UTC).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from hashlib import blake2b
from typing import Annotated, Any, Final, NamedTuple, TypeVar, get_type_hints

from stackl_flow import exceptions as exc
from stackl_flow.persistence.metadata import MAX_INLINE


class BookRecord(NamedTuple):
    """A stored logbook."""

    uuid: str
    name: str
    meta: str | None
    created_at: float
    updated_at: float | None


class FlowRecord(NamedTuple):
    """A stored flow and its owner.

    Attributes:
        uuid: UUID of the flow.
        book_uuid: UUID of its logbook.
        name: name of the flow.
        state: the state of the flow, or None.
        meta: the small values of its metadata as JSON text, or None; the others are in `InputRow` rows.
        epoch: how often its ownership was taken; every write of an owner is checked against it.
        owner: the name of the process that took it last, or None.
        created_at: when it was first stored, in seconds since the epoch (UTC).
        updated_at: when its state, metadata or owner changed last, or None.
        inputs_version: how often its `InputRow` rows changed; 0 if it has none.
    """

    uuid: str
    book_uuid: str
    name: str
    state: str | None
    meta: str | None
    epoch: int
    owner: str | None
    created_at: float
    updated_at: float | None
    inputs_version: int = 0


class InputRow(NamedTuple):
    """A value of a flow's metadata that is stored in a row of its own, such as an input.

    Attributes:
        flow_uuid: UUID of the flow.
        part: the key in the metadata: "injected", "store", "factory", "secrets" or another.
        name: the key in that value if it is a dictionary with a row for each of its items; else "". In a
            change, None stands for all rows of the part.
        value: JSON text; None, in a change, deletes the row.
    """

    flow_uuid: str
    part: str
    name: str | None
    value: str | None


#: The columns of an atom whose text, if it is long, is stored in an `AtomValue` row, with a reference to it
#: in the column.
VALUE_COLUMNS: Final = ("results", "failure", "revert_results", "revert_failure", "meta", "progress")

_REFERENCE: Final = "@stored:"


def reference_to(text: str) -> str:
    """Return the reference to a long text: a digest of it."""
    return _REFERENCE + blake2b(text.encode(), digest_size=16).hexdigest()


def is_reference(text: object) -> bool:
    """Return whether a column of an atom refers to an `AtomValue` row."""
    return type(text) is str and text.startswith(_REFERENCE)


class StoredText(str):  # noqa: SLOT000  it has an attribute
    """The text of an `AtomValue` row, which need not be written again while it does not change."""

    reference: str

    @classmethod
    def of(cls, text: str, reference: str) -> StoredText:
        """Return a text with the reference to it."""
        found = cls(text)
        found.reference = reference
        return found


class AtomRecord(NamedTuple):
    """A stored atom; ``kind`` is "TASK_DETAIL" or "RETRY_DETAIL". `VALUE_COLUMNS` may be references."""

    uuid: str
    flow_uuid: str
    kind: str
    name: str
    version: str | None
    state: str | None
    intention: str | None
    results: str | None
    failure: str | None
    revert_results: str | None
    revert_failure: str | None
    meta: str | None
    attempt: int = 1
    started_at: float | None = None
    progress: str | None = None

    def with_values(self, values: Iterable[Any]) -> AtomRecord:
        """Return this row with the columns that change while the atom runs."""
        return AtomRecord(*self[:5], *values)


class AtomUpdate(NamedTuple):
    """All columns of an atom that change while it runs; ``uuid`` says which atom."""

    uuid: str
    state: str | None
    intention: str | None
    results: str | None
    failure: str | None
    revert_results: str | None
    revert_failure: str | None
    meta: str | None
    attempt: int = 1
    started_at: float | None = None
    progress: str | None = None


class AtomValue(NamedTuple):
    """The text of a column of an atom, written when it changes and not with each step.

    Attributes:
        atom_uuid: UUID of the atom.
        name: one of `VALUE_COLUMNS`.
        value: the text; None, in a change, deletes the row.
    """

    atom_uuid: str
    name: str
    value: str | None


class AttemptRow(NamedTuple):
    """A part of the history of a retry, which is only appended to.

    Attributes:
        retry_uuid: UUID of the retry.
        seq: its number within the retry, from 0.
        attempt: the number of the attempt, from 1.
        atom: None for what the retry provided in the attempt; else the name of an atom that failed in it.
        value: JSON text: what the retry provided, or the failure.
    """

    retry_uuid: str
    seq: int
    attempt: int
    atom: str | None
    value: str


class AttemptsChange(NamedTuple):
    """A change of the history of a retry: rows are appended to the first ``keep``, which are all or none."""

    retry_uuid: str
    keep: int
    rows: Sequence[AttemptRow]


class AtomRows(NamedTuple):
    """All rows of an atom; the record has the texts of long values."""

    record: AtomRecord
    attempts: Sequence[AttemptRow] = ()


class Column(NamedTuple):
    """How a field of `Transition` is stored in SQL.

    Attributes:
        name: the name of the column.
        length: how many characters its text may have; None for a number.
        nullable: whether it may be NULL.
    """

    name: str
    length: int | None = None
    nullable: bool = True


class Transition(NamedTuple):
    """A change of state in the history of a flow. Its fields are the columns wherever it is stored or shown.

    To add a column, add a field with a default here and a migration of the SQL tables.

    Attributes:
        seq: its number within the flow, from 1; numbers grow, and may have gaps. 0 until it is stored.
        atom: name of the atom; None if the flow itself changed state.
        old: the state before, or None.
        new: the state after.
        at: when it happened, in seconds since the epoch (UTC).
        who: the name of the process that did it.
        why: a few words about the reason, such as the type of an error, or None.
        started_at: when the work began that this transition of an atom ends, or None. It may have waited in
            an executor since RUNNING or REVERTING.
    """

    seq: int
    atom: Annotated[str | None, Column("atom", 255)]
    old: Annotated[str | None, Column("old_state", 32)]
    new: Annotated[str | None, Column("new_state", 32)]
    at: Annotated[float, Column("at", nullable=False)]
    who: Annotated[str | None, Column("who", 255)] = None
    why: Annotated[str | None, Column("why", 255)] = None
    started_at: Annotated[float | None, Column("started_at")] = None

    @property
    def columns(self) -> tuple[Any, ...]:
        """The values of all columns, without the number."""
        return self[1:]

    @classmethod
    def from_columns(cls, seq: int, columns: Iterable[Any]) -> Transition:
        """Return the transition with a number; columns that an older version did not store are left out."""
        return cls(seq, *columns)


def _transition_columns() -> Mapping[str, Column]:
    hints = get_type_hints(Transition, include_extras=True)
    return {name: hints[name].__metadata__[0] for name in Transition._fields[1:]}


#: The columns of a transition by field.
TRANSITION_COLUMNS: Final = _transition_columns()


class Checkpoint(NamedTuple):
    """What one step of an engine changed. It is written as a whole, and only if the epoch is the owner's.

    Attributes:
        flow_uuid: UUID of the flow.
        epoch: the epoch of the engine's ownership.
        flow_state: the new state of the flow; None leaves the stored one.
        flow_meta: the new metadata of the flow as JSON text; None leaves the stored one.
        atoms: the new values of the atoms that changed.
        transitions: each change of state, in order.
        values: long values of the atoms that changed.
        attempts: how the histories of retries changed.
        inputs: how the inputs and other large metadata changed; deletions first.
    """

    flow_uuid: str
    epoch: int
    flow_state: str | None = None
    flow_meta: str | None = None
    atoms: Sequence[AtomUpdate] = ()
    transitions: Sequence[Transition] = ()
    values: Sequence[AtomValue] = ()
    attempts: Sequence[AttemptsChange] = ()
    inputs: Sequence[InputRow] = ()

    @property
    def changes_flow(self) -> bool:
        """Whether the row of the flow changes."""
        return self.flow_state is not None or self.flow_meta is not None or bool(self.inputs)


class Changes(NamedTuple):
    """Rows that are written together: logbooks, new or not; new flows and atoms; changed flows and atoms.

    Those in ``new_books`` are known to be new.

    The values and attempts are those of new and of changed atoms, the inputs those of new and changed flows.
    """

    books: Sequence[BookRecord] = ()
    new_flows: Sequence[FlowRecord] = ()
    flows: Sequence[FlowRecord] = ()
    new_atoms: Sequence[AtomRecord] = ()
    atoms: Sequence[AtomRecord] = ()
    values: Sequence[AtomValue] = ()
    attempts: Sequence[AttemptsChange] = ()
    inputs: Sequence[InputRow] = ()
    new_books: Sequence[BookRecord] = ()


class RecordStore(ABC):
    """The operations on rows that a backend implements.

    All except ``_write_checkpoint`` are called inside ``_transaction``.
    """

    @abstractmethod
    def _transaction(self, *, write: bool) -> AbstractContextManager[None]:
        """Hold a transaction on one snapshot: committed at the end, rolled back if the block raises."""

    @abstractmethod
    def _read_books(self, uuid: str | None = None) -> list[BookRecord]:
        """Read one logbook, or all of them, oldest first."""

    @abstractmethod
    def _read_flows(
        self,
        uuid: str | None = None,
        book_uuid: str | None = None,
        state: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[FlowRecord]:
        """Read the flows that match all that is given."""

    @abstractmethod
    def _read_atoms(self, flow_uuid: str) -> Iterable[AtomRecord]:
        """Read the atoms of a flow in the order they were added."""

    @abstractmethod
    def _read_atom(self, uuid: str) -> AtomRecord | None:
        """Read one atom."""

    @abstractmethod
    def _read_values(self, flow_uuid: str) -> Iterable[AtomValue]:
        """Read the long values of a flow's atoms."""

    @abstractmethod
    def _read_attempts(self, flow_uuid: str) -> Iterable[AttemptRow]:
        """Read the histories of a flow's retries, each in order."""

    @abstractmethod
    def _read_inputs(self, flow_uuid: str) -> Iterable[InputRow]:
        """Read the inputs and other large metadata of a flow, in the order they were added."""

    @abstractmethod
    def _read_transitions(self, flow_uuid: str, after: int, limit: int | None) -> list[Transition]:
        """Read the transitions of a flow after a number, in order."""

    @abstractmethod
    def _apply(self, changes: Changes) -> None:
        """Write rows. Raise `Duplicate` if the UUID of a new row exists."""

    def _add(self, changes: Changes) -> None:
        """Write rows of which all are new, in a transaction of its own. Raise `Duplicate` if one is not."""
        with self._transaction(write=True):
            self._apply(changes)

    @abstractmethod
    def _set_owner(self, flow_uuid: str, epoch: int, owner: str, at: float) -> None:
        """Write the owner and epoch of a flow."""

    @abstractmethod
    def _delete_book(self, uuid: str) -> bool:
        """Delete a logbook and all that is in it. Return whether there was one."""

    @abstractmethod
    def _delete_all(self) -> None:
        """Delete everything."""

    @abstractmethod
    def _write_checkpoint(self, cp: Checkpoint) -> None:
        """Write a checkpoint in a transaction of its own. The engine waits for this."""

    def _read_flow(self, uuid: str) -> FlowRecord:
        for record in self._read_flows(uuid=uuid):
            return record
        raise not_found("flow", uuid)

    def _read_existing_atom(self, uuid: str) -> AtomRecord:
        record = self._read_atom(uuid)
        if record is None:
            raise not_found("atom", uuid)
        return record


Row = TypeVar("Row", AtomRecord, AtomUpdate)


def flow_changes(
    flow: FlowRecord, old: FlowRecord | None, atoms: Sequence[AtomRows], stored: Iterable[AtomRows]
) -> Changes:
    """Return the rows to write for a flow and its atoms; atoms that have not changed are left out.

    Args:
        flow: the row of the flow as it should be.
        old: its row as it is stored, or None.
        atoms: the rows of its atoms as they should be.
        stored: the rows as they are stored.

    Raises:
        NotSupported: an atom is stored as one of another kind.
    """
    if old is None:
        return atom_changes(atoms)._replace(new_flows=[flow])
    return atom_changes(atoms, stored)._replace(flows=[flow])


def atom_changes(atoms: Sequence[AtomRows], stored: Iterable[AtomRows] = ()) -> Changes:
    """Return the rows to write for new and changed atoms; arguments as for `flow_changes`."""
    known = {rows.record.uuid: rows for rows in stored}
    new_atoms: list[AtomRecord] = []
    changed: list[AtomRecord] = []
    values: list[AtomValue] = []
    attempts: list[AttemptsChange] = []
    for rows in atoms:
        old = known.get(rows.record.uuid)
        if old == rows:
            continue
        if old is not None:
            check_same_kind(old.record, rows.record)
        record, own_values = split_values(rows.record, None if old is None else old.record)
        (new_atoms if old is None else changed).append(record)
        values += own_values
        before = () if old is None else old.attempts
        if tuple(before) != tuple(rows.attempts):
            keep = len(before) if tuple(before) == tuple(rows.attempts[: len(before)]) else 0
            attempts.append(AttemptsChange(rows.record.uuid, keep, rows.attempts[keep:]))
    return Changes(new_atoms=new_atoms, atoms=changed, values=values, attempts=attempts)


def split_values(record: Row, old: AtomRecord | None = None) -> tuple[Row, list[AtomValue]]:
    """Move the long texts of an atom to rows of their own.

    Args:
        record: the row of the atom, with texts or references.
        old: its row as it is stored, with texts; those that have rows are not written again.

    Returns:
        The row with references, and the values to write.
    """
    values = []
    columns: dict[str, Any] = {}
    for name in VALUE_COLUMNS:
        text, before = getattr(record, name), None if old is None else getattr(old, name)
        was_stored = before is not None and isinstance(before, StoredText)
        if text is not None and len(text) > MAX_INLINE:
            columns[name] = reference_to(text)
            if not (was_stored and before == text):
                values.append(AtomValue(record.uuid, name, text))
        elif was_stored:
            values.append(AtomValue(record.uuid, name, None))
    return record._replace(**columns) if columns else record, values


def with_stored_values(record: AtomRecord, values: Mapping[tuple[str, str], str]) -> AtomRecord:
    """Return an atom with the texts of its long values.

    Args:
        record: the row of the atom.
        values: the texts by UUID of the atom and name of the column.
    """
    columns: dict[str, Any] = {
        name: StoredText.of(values[record.uuid, name], getattr(record, name))
        for name in VALUE_COLUMNS
        if is_reference(getattr(record, name))
    }
    return record._replace(**columns) if columns else record


def has_stored_values(record: AtomRecord) -> bool:
    """Return whether a row of an atom refers to rows with long values."""
    return any(map(is_reference, record[7:12])) or is_reference(record.progress)


def check_same_kind(old: AtomRecord, new: AtomRecord) -> AtomRecord:
    """Return the new row of an atom; a task does not become a retry, nor a retry a task.

    Raises:
        NotSupported: the kinds differ.
    """
    if old.kind != new.kind:
        raise exc.NotSupported(
            f"atom '{new.name}' ({new.uuid}) is stored as {old.kind} and cannot become {new.kind}"
        )
    return new


def merge_changes(parts: Sequence[Changes]) -> Changes:
    """Return the changes of several flows as one."""
    return Changes(
        new_flows=[row for part in parts for row in part.new_flows],
        flows=[row for part in parts for row in part.flows],
        new_atoms=[row for part in parts for row in part.new_atoms],
        atoms=[row for part in parts for row in part.atoms],
        values=[row for part in parts for row in part.values],
        attempts=[row for part in parts for row in part.attempts],
        inputs=[row for part in parts for row in part.inputs],
    )


def not_found(what: str, uuid: str) -> exc.NotFound:
    """Return the error for a "logbook", "flow" or "atom" that is not stored."""
    return exc.NotFound(f"No {what} found with uuid '{uuid}'")


def duplicate(what: str, uuid: str) -> exc.Duplicate:
    """Return the error for a new "flow" or "atom" whose UUID exists."""
    return exc.Duplicate(f"a {what} with uuid '{uuid}' is stored already")


def lost_commits(flow_uuid: str) -> exc.StorageFailure:
    """Return the error for a store that lacks what the owner of a flow has committed before."""
    return exc.StorageFailure(
        f"the database has lost commits of flow '{flow_uuid}': it was restored from a backup, or a replica "
        f"that lagged behind took over; nothing of this write was stored; load the flow again to resume from "
        f"what is stored"
    )


def ownership_lost(flow_uuid: str, held: int, epoch: int, owner: str | None) -> exc.OwnershipLost:
    """Return the error for a writer that no longer owns a flow.

    Args:
        flow_uuid: the flow.
        held: the epoch of the writer.
        epoch: the epoch that is stored.
        owner: the owner that is stored.
    """
    return exc.OwnershipLost(
        f"flow '{flow_uuid}' was taken over by '{owner}' (epoch {epoch}, this process had {held}): "
        f"nothing of this write was stored; leave the flow to its new owner, or load it again to take it back"
    )
