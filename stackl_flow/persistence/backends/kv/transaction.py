"""A write in the making: what was read is checked when it lands; what is to be written can be read.

It lands in one commit. Only where a place takes no commit of that size do parts of it go apart: new pages
that nobody reads before the rest has landed go first, and deletions of what nobody reads any more go last.

Reads a flow and its atoms out of a draft.

Writes books, flows and atoms into a draft.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from stackl_flow import exceptions as exc
from stackl_flow.kv.items import ABSENT, Check, Item, Put, quote
from stackl_flow.kv.store import KV
from stackl_flow.persistence.backends.kv import layout
from stackl_flow.persistence.backends.kv.layout import Head, Row
from stackl_flow.persistence.records import AtomRecord, Changes, FlowRecord, not_found


class Draft:
    """Collects what one transaction reads and writes, until it is committed as a whole.

    Args:
        kv: the place.
        ahead: what to read at once, as ``look_below`` does.

    Attributes:
        limits: what the place takes.
        version: that of all that was put, once it is committed.
    """

    def __init__(self, kv: KV, ahead: Iterable[str] = ()) -> None:
        self.limits = kv.limits
        self.version = ABSENT
        self._kv = kv
        self._read: dict[str, Item | None] = {}
        self._below: dict[str, dict[str, Item]] = {}
        self._puts: dict[str, str] = {}
        self._first: dict[str, str] = {}
        self._deletes: set[str] = set()
        self._unread: set[str] = set()
        self._last: set[str] = set()
        self.look_below(ahead)

    def look(self, keys: Iterable[str]) -> None:
        """Read several values in one go, as ``get`` would one by one.

        Args:
            keys: their keys.
        """
        wanted = [key for key in keys if key not in self._read and self._told_below(key) is None]
        self._read.update(zip(wanted, self._kv.get_many(wanted), strict=True))

    def look_below(self, prefixes: Iterable[str]) -> None:
        """Read all that is below some prefixes in one go, for ``get`` and ``items`` to tell it.

        Nothing is read where a list is not of one moment: there whoever reads what changes with an item has
        to read that item first.

        Args:
            prefixes: the beginnings of keys, each with a "/" at its end.
        """
        if self._kv.list_is_snapshot:
            wanted = [prefix for prefix in prefixes if self._told_below(prefix) is None]
            for prefix, found in zip(wanted, self._kv.list_many(wanted), strict=True):
                self._below[prefix] = {item.key: item for item in found}

    def _told_below(self, key: str) -> dict[str, Item] | None:
        """Give what was read below a prefix that a key, or another prefix, begins with."""
        at = key.find("/") if self._below else -1
        while at >= 0:
            found = self._below.get(key[: at + 1])
            if found is not None:
                return found
            at = key.find("/", at + 1)
        return None

    def get(self, key: str) -> str | None:
        """Read a value; the commit lands only if it is still the same.

        Args:
            key: its key.

        Returns:
            The value, or None.
        """
        if key in self._puts:
            return self._puts[key]
        if key not in self._read:
            told = self._told_below(key)
            self._read[key] = self._kv.get(key) if told is None else told.get(key)
        item = self._read[key]
        return None if item is None or key in self._deletes else item.value

    def items(self, prefix: str) -> list[Item]:
        """Read items; nothing is checked for them, so something that changes with them has to be read too.

        Args:
            prefix: the beginning of their keys.

        Returns:
            The items in order.
        """
        told = self._told_below(prefix)
        stored = self._kv.list(prefix) if told is None else told.values()
        found = {
            item.key: item for item in stored if item.key.startswith(prefix) and item.key not in self._deletes
        }
        written = (key for key in self._puts if key.startswith(prefix))
        found.update((key, Item(key, self._puts[key], ABSENT)) for key in written)
        return [found[key] for key in sorted(found)]

    def put(self, key: str, value: str) -> None:
        """Write an item when all is committed.

        Args:
            key: its key.
            value: its value.
        """
        self._deletes.discard(key)
        self._puts[key] = value

    def put_first(self, key: str, value: str, guard: str) -> None:
        """Write an item that nobody reads before the rest is committed.

        Args:
            key: its key.
            value: its value.
            guard: the item that tells others of it, which was read; whoever writes the like writes that too.
        """
        self.put(key, value)
        self._first[key] = guard

    def delete(self, key: str, *, unread: bool = False, last: bool = False) -> None:
        """Delete an item when all is committed.

        Args:
            key: its key.
            unread: nobody reads it already.
            last: nobody reads it any more when the rest is committed.
        """
        self._puts.pop(key, None)
        self._deletes.add(key)
        if unread:
            self._unread.add(key)
        if last:
            self._last.add(key)

    def commit(self) -> None:
        """Write all of it, or nothing.

        Raises:
            Conflict: something that was read has changed.
        """
        if not self._puts and not self._deletes:
            return
        first, late = [], []
        if not self._fits():
            for unread in self._parts(sorted(self._unread & self._deletes)):
                self._kv.commit([self._check(key) for key in self._read], deletes=unread)
                self._deletes.difference_update(unread)
            first, late = sorted(self._first, key=lambda key: (self._first[key], key)), sorted(self._last)
        for guard, keys in groupby(first, key=self._first.__getitem__):
            self._send_first(guard, list(keys))
        self.version = self._kv.commit(
            [self._check(key) for key in self._read],
            [Put(key, value) for key, value in self._puts.items() if key not in first],
            sorted(self._deletes.difference(late)),
        )
        for part in self._parts(late):
            self._kv.commit(deletes=part)

    def _check(self, key: str) -> Check:
        item = self._read[key]
        return Check(key, ABSENT if item is None else item.version)

    def _fits(self) -> bool:
        _, size, operations = self.limits
        few = operations is None or max(len(self._puts) + len(self._deletes), len(self._read)) <= operations
        return few and (size is None or sum(len(value) for value in self._puts.values()) * 2 <= size)

    def _send_first(self, guard: str, keys: Sequence[str]) -> None:
        for part in self._parts(keys):
            puts = [Put(key, self._puts[key]) for key in part]
            known = self._read[guard]
            # The guard is written as it was: of two who do this at once, one finds that it has changed.
            again = [] if known is None else [Put(guard, known.value)]
            version = self._kv.commit([self._check(guard)], [*puts, *again])
            if known is not None:
                self._read[guard] = known._replace(version=version)

    def _parts(self, keys: Sequence[str]) -> Iterator[list[str]]:
        _, size, operations = self.limits
        part: list[str] = []
        filled = 0
        for key in keys:
            long = len(self._puts.get(key, ""))
            full = operations is not None and len(part) + 1 >= operations
            if part and (full or (size is not None and (filled + long) * 2 > size)):
                yield part
                part, filled = [], 0
            part.append(key)
            filled += long
        if part:
            yield part


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
    if head(draft, flow.uuid) is not None:
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
    known = {record.uuid for record in atoms(draft, flow_uuid)} if head.pages else set()
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
    stored = head(draft, flow_uuid)
    if stored is None:
        raise not_found("flow", flow_uuid)
    return stored


def _row(draft: Draft, flow_uuid: str) -> Row:
    stored = row(draft, flow_uuid)
    if stored is None:
        raise not_found("flow", flow_uuid)
    return stored


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
