"""Writes books, flows and atoms into a draft."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stackl_flow import exceptions as exc
from stackl_flow.kv.items import quote
from stackl_flow.persistence.backends.kv import layout, reading
from stackl_flow.persistence.backends.kv.draft import Draft
from stackl_flow.persistence.backends.kv.layout import Head, Row
from stackl_flow.persistence.records import AtomRecord, Changes, FlowRecord
from stackl_flow.persistence.rows import missing


def apply(draft: Draft, changes: Changes, stamp: Callable[[], str]) -> None:
    """Write rows.

    Args:
        draft: where to write.
        changes: the rows.
        stamp: gives marks that sort in the order in which they were asked for.

    Raises:
        Duplicate: the uuid of a new row is taken.
    """
    for book in changes.books:
        old = draft.get(layout.book_key(book.uuid))
        kept = stamp() if old is None else layout.read_book(old)[0]
        draft.put(layout.book_key(book.uuid), layout.write_book(book, kept))
    for flow in changes.new_flows:
        _add_flow(draft, flow, stamp())
    for flow in changes.flows:
        _change_flow(draft, flow)
    for flow_uuid in dict.fromkeys(atom.flow_uuid for atom in changes.new_atoms):
        _add_atoms(draft, flow_uuid, [atom for atom in changes.new_atoms if atom.flow_uuid == flow_uuid])
    for flow_uuid in dict.fromkeys(atom.flow_uuid for atom in changes.atoms):
        _change_atoms(draft, flow_uuid, [atom for atom in changes.atoms if atom.flow_uuid == flow_uuid])


def set_owner(draft: Draft, flow_uuid: str, epoch: int, owner: str, at: float) -> None:
    """Write a flow's owner.

    Args:
        draft: where to write.
        flow_uuid: the flow.
        epoch: the owner's epoch.
        owner: the owner.
        at: when, in seconds since 1970, UTC.
    """
    _put_head(draft, flow_uuid, _head(draft, flow_uuid)._replace(epoch=epoch, owner=owner, updated_at=at))


def delete_book(draft: Draft, uuid: str) -> bool:
    """Delete a book and all below it.

    Args:
        draft: where to write.
        uuid: the book.

    Returns:
        Whether there was one.
    """
    if draft.get(layout.book_key(uuid)) is None:
        return False
    draft.delete(layout.book_key(uuid))
    for item in draft.items(layout.flows_of(uuid)):
        flow_uuid = layout.read(item.value)
        _head(draft, flow_uuid)  # so that nobody writes the flow meanwhile
        order = _order_keys(uuid, flow_uuid, _row(draft, flow_uuid).stamp)
        for key in (*order, layout.head_key(flow_uuid), layout.row_key(flow_uuid)):
            draft.delete(key)
        for prefix in (layout.flow_prefix(flow_uuid), layout.history_prefix(flow_uuid)):
            for below in draft.items(prefix):
                draft.delete(below.key, last=True)
    return True


def _add_flow(draft: Draft, flow: FlowRecord, stamp: str) -> None:
    if reading.head(draft, flow.uuid) is not None:
        raise _taken("flow", flow.uuid)
    for prefix in (layout.flow_prefix(flow.uuid), layout.history_prefix(flow.uuid)):
        for left in draft.items(prefix):  # by a deletion that never came to its end
            draft.delete(left.key, unread=True)
    _put_head(draft, flow.uuid, Head(flow.epoch, flow.owner, flow.state, flow.updated_at, 0, 0, 0))
    _put_row(draft, flow.uuid, Row(flow.book_uuid, flow.name, flow.meta, flow.created_at, stamp))
    for key in _order_keys(flow.book_uuid, flow.uuid, stamp):
        draft.put(key, layout.write(flow.uuid))


def _change_flow(draft: Draft, flow: FlowRecord) -> None:
    head = _head(draft, flow.uuid)
    _put_head(draft, flow.uuid, head._replace(state=flow.state, updated_at=flow.updated_at))
    row = _row(draft, flow.uuid)
    if row.meta != flow.meta:
        _put_row(draft, flow.uuid, row._replace(meta=flow.meta))


def _add_atoms(draft: Draft, flow_uuid: str, records: Sequence[AtomRecord]) -> None:
    head = _head(draft, flow_uuid)
    known = {record.uuid for record in reading.atoms(draft, flow_uuid)} if head.pages else set()
    for record in records:
        if record.uuid in known:
            raise _taken("atom", record.uuid)
        known.add(record.uuid)
    pages = list(layout.made_pages(records))
    for number, page in enumerate(pages, start=head.pages):
        draft.put_first(layout.made_key(flow_uuid, number), page, layout.head_key(flow_uuid))
    _put_head(draft, flow_uuid, head._replace(pages=head.pages + len(pages)))


def _change_atoms(draft: Draft, flow_uuid: str, records: Sequence[AtomRecord]) -> None:
    head = _head(draft, flow_uuid)
    changed = {record.uuid: record for record in records}
    moved = {record.uuid: record[5:] for record in records}
    for key, value in layout.atom_items(flow_uuid, moved, head.writes + 1, draft.limits.operations):
        draft.put(key, value)
    # The pages hold what an atom is called, and that is allowed to change.
    for page in draft.items(f"{layout.flow_prefix(flow_uuid)}made/"):
        if not any(uuid in page.value for uuid in changed):
            continue
        old = list(layout.read_made(page.value, flow_uuid))
        new = [AtomRecord(*changed.get(record.uuid, record)[:5], *record[5:]) for record in old]
        if new != old:
            draft.put(page.key, layout.made_page(new))
    _put_head(draft, flow_uuid, head)


def _head(draft: Draft, flow_uuid: str) -> Head:
    head = reading.head(draft, flow_uuid)
    if head is None:
        raise missing("flow", flow_uuid)
    return head


def _row(draft: Draft, flow_uuid: str) -> Row:
    row = reading.row(draft, flow_uuid)
    if row is None:
        raise missing("flow", flow_uuid)
    return row


def _put_head(draft: Draft, flow_uuid: str, head: Head) -> None:
    draft.put(layout.head_key(flow_uuid), layout.write(head._replace(writes=head.writes + 1)))


def _put_row(draft: Draft, flow_uuid: str, row: Row) -> None:
    draft.put(layout.row_key(flow_uuid), layout.write(row))


def _order_keys(book_uuid: str, flow_uuid: str, stamp: str) -> tuple[str, str]:
    """Give the two keys that keep a flow's place in the order: of its book, and of all."""
    name = f"{stamp}-{quote(flow_uuid)}"
    return f"{layout.flows_of(book_uuid)}{name}", f"{layout.FLOWS}{name}"


def _taken(what: str, uuid: str) -> exc.Duplicate:
    return exc.Duplicate(f"a {what} with uuid {uuid!r} is stored already")
