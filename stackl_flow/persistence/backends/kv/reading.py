"""Reads a flow and its atoms out of a draft."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from stackl_flow.kv.items import Item
from stackl_flow.persistence.backends.kv import layout
from stackl_flow.persistence.backends.kv.draft import Draft
from stackl_flow.persistence.backends.kv.layout import Head, Row
from stackl_flow.persistence.records import AtomRecord, FlowRecord


def head(draft: Draft, flow_uuid: str) -> Head | None:
    """Read what changes of a flow with every write.

    Args:
        draft: where to read.
        flow_uuid: the flow.

    Returns:
        Its head, or None if there is no such flow.
    """
    text = draft.get(layout.head_key(flow_uuid))
    return None if text is None else Head(*layout.read(text))


def row(draft: Draft, flow_uuid: str) -> Row | None:
    """Read what seldom changes of a flow.

    Args:
        draft: where to read.
        flow_uuid: the flow.

    Returns:
        Its row, or None if there is no such flow.
    """
    text = draft.get(layout.row_key(flow_uuid))
    return None if text is None else Row(*layout.read(text))


def flows(draft: Draft, uuids: Sequence[str]) -> Iterator[FlowRecord]:
    """Read flows without their atoms.

    Args:
        draft: where to read.
        uuids: the flows.

    Yields:
        The records of those that there are.
    """
    draft.look(key for uuid in uuids for key in (layout.head_key(uuid), layout.row_key(uuid)))
    for uuid in uuids:
        stands, found = head(draft, uuid), row(draft, uuid)
        if found is not None and stands is not None:
            yield layout.flow_record(uuid, found, stands)


def atoms(draft: Draft, flow_uuid: str) -> list[AtomRecord]:
    """Read the atoms of a flow: all at one moment, where the place can do that.

    Args:
        draft: where to read.
        flow_uuid: the flow.

    Returns:
        Their records, in the order in which they were added.
    """
    prefix = layout.flow_prefix(flow_uuid)
    parts: dict[str, list[Item]] = {"head": [], "made": [], "atom": [], "many": []}
    for item in draft.items(prefix):
        parts.get(item.key.removeprefix(prefix)[:4], []).append(item)
    if not parts["head"]:
        return []
    pages = Head(*layout.read(parts["head"][0].value)).pages
    # Pages that the head does not count are those of a write that never came to its end.
    found = [record for page in parts["made"][:pages] for record in layout.read_made(page.value, flow_uuid)]
    alone = {item.key: item.value for item in parts["atom"]}
    many = [(int(item.key[-12:]), layout.read(item.value)) for item in parts["many"]]
    return [_moved(record, alone.get(layout.atom_key(flow_uuid, record.uuid)), many) for record in found]


def atom(draft: Draft, flow_uuid: str, uuid: str) -> AtomRecord | None:
    """Read one atom of a flow.

    Args:
        draft: where to read.
        flow_uuid: the flow.
        uuid: the atom.

    Returns:
        Its record, or None if it is not one of this flow.
    """
    prefix = layout.flow_prefix(flow_uuid)
    pages = draft.items(f"{prefix}made/")
    told = (page for page in pages if uuid in page.value)
    made = (record for page in told for record in layout.read_made(page.value, flow_uuid))
    found = next((record for record in made if record.uuid == uuid), None)
    stands = None if found is None else head(draft, flow_uuid)
    if found is None or stands is None:
        return None
    counted = {page.key for page in pages[: stands.pages]}
    if not any(page.key in counted and uuid in page.value for page in pages):
        return None  # left by a write that never came to its end
    many = [(int(item.key[-12:]), layout.read(item.value)) for item in draft.items(f"{prefix}many/")]
    return _moved(found, draft.get(layout.atom_key(flow_uuid, uuid)), many)


def _moved(record: AtomRecord, text: str | None, many: list[tuple[int, dict[str, Any]]]) -> AtomRecord:
    """Bring an atom up to what changed since it was added."""
    if text is None and not many:
        return record
    last, *columns = (-1, *record[5:]) if text is None else layout.read(text)
    for number, moved in many:
        if number > last and record.uuid in moved:
            last, columns = number, moved[record.uuid]
    return AtomRecord(*record[:5], *columns)
