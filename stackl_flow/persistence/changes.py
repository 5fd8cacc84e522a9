"""What has to be written so that storage agrees with a detail."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from stackl_flow import exceptions as exc
from stackl_flow.persistence.records import AtomRecord, Changes, FlowRecord


def flow_changes(
    flow: FlowRecord, old: FlowRecord | None, atoms: Sequence[AtomRecord], stored: Iterable[AtomRecord]
) -> Changes:
    """Compare a flow and its atoms with what is stored of them.

    Args:
        flow: the flow's row as it should be.
        old: its row as it is, or None.
        atoms: the rows of its atoms as they should be.
        stored: the rows as they are.

    Returns:
        The rows to write; rows that are the same already are not among them.

    Raises:
        NotImplementedError: an atom is stored as one of another kind.
    """
    if old is None:
        return Changes(new_flows=[flow], new_atoms=atoms)
    known = {record.uuid: record for record in stored}
    return Changes(
        flows=[flow],
        new_atoms=[record for record in atoms if record.uuid not in known],
        atoms=[
            same_kind(known[record.uuid], record)
            for record in atoms
            if known.get(record.uuid, record) != record
        ],
    )


def same_kind(old: AtomRecord, new: AtomRecord) -> AtomRecord:
    """Refuse to make a retry of a stored task, or a task of a retry.

    Args:
        old: the row as it is.
        new: the row as it should be.

    Returns:
        The new row.

    Raises:
        NotImplementedError: the kinds differ.
    """
    if old.kind != new.kind:
        raise exc.NotImplementedError(
            f"atom '{new.name}' ({new.uuid}) is stored as {old.kind} and cannot become {new.kind}"
        )
    return new


def join(parts: Sequence[Changes]) -> Changes:
    """Put the changes of several flows together.

    Args:
        parts: the changes.

    Returns:
        One set of changes.
    """
    return Changes(
        new_flows=[row for part in parts for row in part.new_flows],
        flows=[row for part in parts for row in part.flows],
        new_atoms=[row for part in parts for row in part.new_atoms],
        atoms=[row for part in parts for row in part.atoms],
    )
