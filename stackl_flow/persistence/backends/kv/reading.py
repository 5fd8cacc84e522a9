"""Reads a flow and its atoms out of a draft."""

from __future__ import annotations

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


def flow(draft: Draft, flow_uuid: str) -> FlowRecord | None:
    """Read a flow without its atoms.

    Args:
        draft: where to read.
        flow_uuid: the flow.

    Returns:
        Its record, or None if there is no such flow.
    """
    found, stands = row(draft, flow_uuid), head(draft, flow_uuid)
    return None if found is None or stands is None else layout.flow_record(flow_uuid, found, stands)


def atoms(draft: Draft, flow_uuid: str) -> list[AtomRecord]:
    """Read the atoms of a flow: all at one moment, where the place can do that.

    Args:
        draft: where to read.
        flow_uuid: the flow.

    Returns:
        Their records, in the order in which they were added.
    """
    prefix = layout.flow_prefix(flow_uuid)
    made, moved = f"{prefix}made/", f"{prefix}atom/"
    found: list[AtomRecord] = []
    changed: dict[str, str] = {}
    for item in draft.list(prefix):
        if item.key.startswith(made):
            found.extend(layout.read_made(item.value, flow_uuid))
        elif item.key.startswith(moved):
            changed[item.key] = item.value
    return [
        record if text is None else layout.moved(record, text)
        for record in found
        for text in [changed.get(layout.atom_key(flow_uuid, record.uuid))]
    ]
