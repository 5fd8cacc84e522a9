"""A transaction on a key-value store: writes are buffered, and what was read is checked by the commit.

It is one commit of the store. Only where the store takes no commit of that size is it split: new pages that
no one reads before the rest is committed go first, and deletions of what no one reads afterwards go last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

from stackl_flow import exceptions as exc
from stackl_flow.kv.items import ABSENT, Check, Item, Limits, Put, validate_size
from stackl_flow.kv.store import KV
from stackl_flow.persistence.backends.kv import layout
from stackl_flow.persistence.backends.kv.layout import FlowHead, FlowRow, RetryNow
from stackl_flow.persistence.records import (
    AtomRecord,
    AttemptRow,
    AttemptsChange,
    Changes,
    FlowRecord,
    InputRow,
    duplicate,
    not_found,
    reference_to,
)


class BufferedTransaction:
    """Buffers what one transaction reads and writes, until it is committed as a whole.

    Args:
        kv: the store.
        prefetched: prefixes to read at once, as ``prefetch_prefixes`` does.

    Attributes:
        limits: what a commit of the store may contain.
        version: the version of what was put, after the commit.
    """

    def __init__(self, kv: KV, prefetched: Iterable[str] = ()) -> None:
        self.limits = kv.limits
        self.version = ABSENT
        self._kv = kv
        self._read: dict[str, Item | None] = {}
        self._prefetched: dict[str, dict[str, Item]] = {}
        self._puts: dict[str, str] = {}
        self._deletes: set[str] = set()
        # For transactions that are split: puts to commit first, with the item that refers to them; and
        # deletions of items that no one reads now, or after the commit.
        self._early: dict[str, str] = {}
        self._unreferenced: set[str] = set()
        self._late: set[str] = set()
        self.prefetch_prefixes(prefetched)

    # ------------------------------------------------------------------ reading

    def prefetch(self, keys: Iterable[str]) -> None:
        """Read several values in one request, for ``get``."""
        missing = [key for key in keys if key not in self._read and self._find_prefetched(key) is None]
        self._read.update(zip(missing, self._kv.get_many(missing), strict=True))

    def prefetch_prefixes(self, prefixes: Iterable[str]) -> None:
        """Read all items with some prefixes in one request, for ``get`` and ``items``.

        Nothing is read where a list is no snapshot: there, an item has to be read before what changes with
        it.

        Args:
            prefixes: the prefixes, each with a "/" at its end.
        """
        if self._kv.list_is_snapshot:
            missing = [prefix for prefix in prefixes if self._find_prefetched(prefix) is None]
            for prefix, items in zip(missing, self._kv.list_many(missing), strict=True):
                self._prefetched[prefix] = {item.key: item for item in items}

    def _find_prefetched(self, key: str) -> dict[str, Item] | None:
        """Return the items that were read for a prefix of a key, or of another prefix."""
        end = key.find("/") if self._prefetched else -1
        while end >= 0:
            items = self._prefetched.get(key[: end + 1])
            if items is not None:
                return items
            end = key.find("/", end + 1)
        return None

    def get(self, key: str) -> str | None:
        """Read a value, or None; the commit fails if it has changed by then."""
        if key in self._puts:
            return self._puts[key]
        if key not in self._read:
            items = self._find_prefetched(key)
            self._read[key] = self._kv.get(key) if items is None else items.get(key)
        item = self._read[key]
        return None if item is None or key in self._deletes else item.value

    def find_prefetched(self, prefix: str) -> list[str]:
        """Return the keys with a prefix, as far as they were read with all items of a longer one."""
        return [key for key in self._find_prefetched(prefix) or () if key.startswith(prefix)]

    def items(self, prefix: str) -> list[Item]:
        """Read the items with a prefix, in order.

        They are not checked by the commit: also read an item that changes with them.
        """
        items = {item.key: item for item in self.stored_items(prefix)}
        written = (key for key in self._puts if key.startswith(prefix))
        items.update((key, Item(key, self._puts[key], ABSENT)) for key in written)
        return [items[key] for key in sorted(items)]

    def stored_items(self, prefix: str) -> list[Item]:
        """Read the items with a prefix, without those that this transaction writes."""
        prefetched = self._find_prefetched(prefix)
        stored = self._kv.list(prefix) if prefetched is None else prefetched.values()
        return [item for item in stored if item.key.startswith(prefix) and item.key not in self._deletes]

    # ------------------------------------------------------------------ writing

    def put(self, key: str, value: str) -> None:
        """Write an item with the commit."""
        self._deletes.discard(key)
        self._puts[key] = value

    def put_early(self, key: str, value: str, referrer: str) -> None:
        """Write an item with the commit, or before it if the transaction is split.

        Args:
            key: its key.
            value: its value.
            referrer: key of the item by which readers find it. It was read, and every writer of such items
                writes it too.
        """
        self.put(key, value)
        self._early[key] = referrer

    def delete(self, key: str, *, unreferenced: bool = False, late: bool = False) -> None:
        """Delete an item with the commit.

        Args:
            key: its key.
            unreferenced: no one reads it, so it may be deleted before the commit.
            late: no one reads it after the commit, so it may be deleted then.
        """
        self._puts.pop(key, None)
        self._deletes.add(key)
        if unreferenced:
            self._unreferenced.add(key)
        if late:
            self._late.add(key)

    def commit(self) -> None:
        """Write all of it, or nothing.

        Raises:
            Conflict: an item that was read has changed.
        """
        if not self._puts and not self._deletes:
            return
        checks = [self._check(key) for key in self._read]
        puts = [Put(key, value) for key, value in self._puts.items()]
        early, late = [], []
        if not self.limits.fit(checks, puts, list(self._deletes)):
            early, late = sorted(self._early, key=lambda key: (self._early[key], key)), sorted(self._late)
            puts = [put for put in puts if put.key not in self._early]
            # Before the first commit, so that nothing is written if it cannot be completed.
            validate_size(
                self._kv.name,
                self.limits._replace(operations=None, commit=None),
                (),
                [Put(key, self._puts[key]) for key in early],
                (),
            )
            unreferenced = self._unreferenced & self._deletes
            left = sorted(self._deletes.difference(late, unreferenced))
            validate_size(self._kv.name, self.limits, checks, puts, left)
            for keys in batches(self.limits, checks, [], sorted(unreferenced)):
                self._kv.commit([self._check(key) for key in self._read], deletes=keys.deletes)
                self._deletes.difference_update(keys.deletes)
        for referrer, group in groupby(early, key=self._early.__getitem__):
            self._commit_early(referrer, list(group))
        self.version = self._kv.commit(
            [self._check(key) for key in self._read], puts, sorted(self._deletes.difference(late))
        )
        for batch in batches(self.limits, (), (), late):
            self._kv.commit(deletes=batch.deletes)

    def _check(self, key: str) -> Check:
        item = self._read[key]
        return Check(key, ABSENT if item is None else item.version)

    def _commit_early(self, referrer: str, keys: Sequence[str]) -> None:
        known = self._read[referrer]
        # The referrer is written unchanged: of two that do this at once, one finds that it has changed.
        unchanged = [] if known is None else [Put(referrer, known.value)]
        puts = [Put(key, self._puts[key]) for key in keys]
        for batch in batches(self.limits, [self._check(referrer)], puts, (), always=unchanged):
            version = self._kv.commit([self._check(referrer)], [*batch.puts, *unchanged])
            if known is not None:
                self._read[referrer] = known = known._replace(version=version)


class Batch(NamedTuple):
    """What one of several commits writes."""

    puts: list[Put]
    deletes: list[str]


def batches(
    limits: Limits,
    checks: Sequence[Check],
    puts: Iterable[Put],
    deletes: Iterable[str],
    always: Sequence[Put] = (),
) -> Iterator[Batch]:
    """Divide writes among commits that a store accepts, in their order.

    Args:
        limits: the limits of the store.
        checks: what each of the commits checks.
        puts: the items to write.
        deletes: the keys to delete, after all puts.
        always: what each of the commits writes besides.
    """
    base = limits.commit_size(checks, always, ())
    batch, size, count = Batch([], []), base, len(always)
    writes: list[Put | str] = [*puts, *deletes]
    for write in writes:
        if isinstance(write, Put):
            added = limits.commit_size((), [write], ())
        else:
            added = limits.commit_size((), (), [write])
        too_many = limits.operations is not None and count + 1 > limits.operations
        if (batch.puts or batch.deletes) and (
            too_many or (limits.commit is not None and size + added > limits.commit)
        ):
            yield batch
            batch, size, count = Batch([], []), base, len(always)
        if isinstance(write, Put):
            batch.puts.append(write)
        else:
            batch.deletes.append(write)
        size += added
        count += 1
    if batch.puts or batch.deletes:
        yield batch


class FlowTransaction(BufferedTransaction):
    """Reads and writes logbooks, flows and atoms."""

    # ------------------------------------------------------------------ reading

    def read_head(self, flow_uuid: str) -> FlowHead | None:
        """Read the head of a flow; None if there is no such flow."""
        text = self.get(layout.head_key(flow_uuid))
        return None if text is None else FlowHead(*layout.decode(text))

    def read_row(self, flow_uuid: str) -> FlowRow | None:
        """Read the row of a flow; None if there is no such flow."""
        text = self.get(layout.row_key(flow_uuid))
        return None if text is None else FlowRow(*layout.decode(text))

    def read_flows(self, uuids: Sequence[str]) -> Iterator[FlowRecord]:
        """Read flows without their atoms, as far as they exist."""
        self.prefetch(key for uuid in uuids for key in (layout.head_key(uuid), layout.row_key(uuid)))
        for uuid in uuids:
            head, row = self.read_head(uuid), self.read_row(uuid)
            if row is not None and head is not None:
                yield layout.flow_record(uuid, row, head)

    def read_atoms(self, flow_uuid: str) -> list[AtomRecord]:
        """Read the atoms of a flow in the order they were added; one snapshot, where a list is one."""
        prefix = layout.flow_prefix(flow_uuid)
        groups: dict[str, list[Item]] = {"head": [], "made": [], "atom": [], "many": [], "part": []}
        for item in self.items(prefix):
            groups.get(item.key.removeprefix(prefix)[:4], []).append(item)
        if not groups["head"]:
            return []
        count = FlowHead(*layout.decode(groups["head"][0].value)).atom_pages
        # Further pages are those of a write that was interrupted.
        pages = groups["made"][:count]
        records = [record for page in pages for record in layout.decode_atom_page(page.value, flow_uuid)]
        values = {item.key: item.value for item in groups["atom"]}
        parts = _Parts(self._kv, {item.key: item.value for item in groups["part"]})
        written = _decode_batches(flow_uuid, groups["many"], parts)
        return [
            self._with_current_values(
                record, values.get(layout.atom_key(flow_uuid, record.uuid)), written, parts
            )
            for record in records
        ]

    def read_attempts(self, flow_uuid: str) -> Iterator[AttemptRow]:
        """Read the histories of a flow's retries, each in order."""
        prefix = layout.retries_prefix(flow_uuid)
        known = {item.key: item.value for item in self.items(prefix)}
        for key in [key for key in known if key.endswith("/now")]:
            yield from self._read_history(flow_uuid, RetryNow(*layout.decode(known[key])), known)

    def _read_history(self, flow_uuid: str, now: RetryNow, known: Mapping[str, str]) -> Iterable[AttemptRow]:
        for _ in range(_MAX_READS):
            uuid, generation, count = now
            keys = [layout.attempt_key(flow_uuid, uuid, generation, seq) for seq in range(count)]
            missing = [key for key in keys if key not in known]
            items = dict(zip(missing, self._kv.get_many(missing) if missing else (), strict=True))
            if None not in items.values():
                texts = {**known, **{key: item.value for key, item in items.items() if item is not None}}
                return [layout.decode_attempt(uuid, seq, texts[key]) for seq, key in enumerate(keys)]
            # Where a list is no snapshot, the history may have started again since.
            text = self._reread(layout.retry_now_key(flow_uuid, uuid))
            now = RetryNow(uuid) if text is None else RetryNow(*layout.decode(text))
        raise exc.StorageFailure(
            f"the history of retry {now.retry_uuid} in '{self._kv.name}' is incomplete: an item was deleted"
        )

    def read_inputs(self, flow_uuid: str) -> Iterator[InputRow]:
        """Read the inputs of a flow."""
        for item in self.items(layout.inputs_prefix(flow_uuid)):
            yield layout.decode_input(flow_uuid, item.value)

    def read_atom(self, flow_uuid: str, uuid: str) -> AtomRecord | None:
        """Read one atom of a flow; None if the flow has no such atom."""
        pages = self.items(layout.atom_pages_prefix(flow_uuid))
        candidates = (page for page in pages if uuid in page.value)
        records = (record for page in candidates for record in layout.decode_atom_page(page.value, flow_uuid))
        record = next((record for record in records if record.uuid == uuid), None)
        head = None if record is None else self.read_head(flow_uuid)
        if record is None or head is None:
            return None
        if not any(uuid in page.value for page in pages[: head.atom_pages]):
            return None  # left by a write that was interrupted
        parts = _Parts(self._kv, {})
        written = _decode_batches(flow_uuid, self.items(layout.batches_prefix(flow_uuid)), parts)
        return self._with_current_values(record, self.get(layout.atom_key(flow_uuid, uuid)), written, parts)

    def _with_current_values(
        self, record: AtomRecord, text: str | None, written: _Written, parts: _Parts
    ) -> AtomRecord:
        """Return an atom with the values that were written last."""
        for _ in range(_MAX_READS):
            columns = _latest_columns(record, text, written)
            try:
                joined = layout.join_values(record.flow_uuid, record.uuid, columns, parts.read)
            except exc.NotFound:
                # Where a list is no snapshot, the atom may have changed since, and the part is deleted.
                text = self._reread(layout.atom_key(record.flow_uuid, record.uuid))
                items = self._kv.list(layout.batches_prefix(record.flow_uuid))
                written = _decode_batches(record.flow_uuid, items, parts)
                continue
            is_new = joined is columns and text is None and not written
            return record if is_new else record.with_values(joined)
        raise exc.StorageFailure(
            f"atom '{record.name}' ({record.uuid}) in '{self._kv.name}' refers to a value that is not there: "
            f"a part of its flow was deleted"
        )

    def _reread(self, key: str) -> str | None:
        item = self._kv.get(key)
        return None if item is None else item.value

    # ------------------------------------------------------------------ writing

    def apply(self, changes: Changes, next_sort_key: Callable[[], str]) -> None:
        """Write rows.

        Args:
            changes: the rows.
            next_sort_key: returns keys that sort in the order of the calls.

        Raises:
            Duplicate: the UUID of a new row exists.
        """
        for book in changes.books:
            old = self.get(layout.book_key(book.uuid))
            sort_key = next_sort_key() if old is None else layout.decode_book(old)[0]
            self.put(layout.book_key(book.uuid), layout.encode_book(book, sort_key))
        for book in changes.new_books:
            if self.get(layout.book_key(book.uuid)) is not None:
                raise duplicate("logbook", book.uuid)
            self.put(layout.book_key(book.uuid), layout.encode_book(book, next_sort_key()))
        for flow in changes.new_flows:
            self._add_flow(flow, next_sort_key())
        for flow in changes.flows:
            self._change_flow(flow)
        inputs: dict[str, list[InputRow]] = {}
        for row in changes.inputs:
            inputs.setdefault(row.flow_uuid, []).append(row)
        for flow_uuid, rows in inputs.items():
            self._change_inputs(flow_uuid, rows)
        self._apply_to_atoms(changes)

    def _apply_to_atoms(self, changes: Changes) -> None:
        flow_of = {atom.uuid: atom.flow_uuid for atom in (*changes.new_atoms, *changes.atoms)}
        for uuid, name, text in changes.values:
            if text is not None:
                key = layout.part_key(flow_of[uuid], uuid, name, reference_to(text))
                self.put_early(key, text, layout.head_key(flow_of[uuid]))
        for change in changes.attempts:
            self._change_attempts(flow_of[change.retry_uuid], change)
        for flow_uuid in dict.fromkeys(atom.flow_uuid for atom in changes.new_atoms):
            self._add_atoms(flow_uuid, [atom for atom in changes.new_atoms if atom.flow_uuid == flow_uuid])
        for flow_uuid in dict.fromkeys(atom.flow_uuid for atom in changes.atoms):
            self._change_atoms(flow_uuid, [atom for atom in changes.atoms if atom.flow_uuid == flow_uuid])

    def set_owner(self, flow_uuid: str, epoch: int, owner: str, at: float) -> None:
        """Write the owner and epoch of a flow."""
        head = self._existing_head(flow_uuid)
        self._put_head(flow_uuid, head._replace(epoch=epoch, owner=owner, updated_at=at))

    def delete_book(self, uuid: str) -> bool:
        """Delete a logbook and all that is in it. Return whether there was one."""
        if self.get(layout.book_key(uuid)) is None:
            return False
        self.delete(layout.book_key(uuid))
        for item in self.items(layout.flows_of_book_prefix(uuid)):
            flow_uuid = layout.decode(item.value)
            self._existing_head(flow_uuid)  # so that no one writes the flow meanwhile
            order = layout.order_keys(uuid, flow_uuid, self._existing_row(flow_uuid).sort_key)
            for key in (*order, layout.head_key(flow_uuid), layout.row_key(flow_uuid)):
                self.delete(key)
            for prefix in layout.prefixes(flow_uuid):
                for below in self.items(prefix):
                    self.delete(below.key, late=True)
        return True

    def delete_all(self) -> None:
        """Delete everything except the format."""
        for item in self.items(layout.ROOT):
            if item.key != layout.FORMAT_KEY:
                self.delete(item.key, late=not item.key.endswith(("/row", "/head")))

    def _add_flow(self, flow: FlowRecord, sort_key: str) -> None:
        if self.read_head(flow.uuid) is not None:
            raise duplicate("flow", flow.uuid)
        for prefix in layout.prefixes(flow.uuid):
            for left in self.stored_items(prefix):  # by a deletion that was interrupted
                self.delete(left.key, unreferenced=True)
        self._put_head(flow.uuid, FlowHead(flow.epoch, flow.owner, flow.state, flow.updated_at, 0, 0, 0))
        meta = layout.pack_meta(flow.meta, flow.inputs_version)
        self._put_row(flow.uuid, FlowRow(flow.book_uuid, flow.name, meta, flow.created_at, sort_key))
        for key in layout.order_keys(flow.book_uuid, flow.uuid, sort_key):
            self.put(key, layout.encode(flow.uuid))

    def _change_flow(self, flow: FlowRecord) -> None:
        head = self._existing_head(flow.uuid)
        self._put_head(flow.uuid, head._replace(state=flow.state, updated_at=flow.updated_at))
        row = self._existing_row(flow.uuid)
        meta = layout.pack_meta(flow.meta, flow.inputs_version)
        if row.meta != meta:
            self._put_row(flow.uuid, row._replace(meta=meta))

    def _change_inputs(self, flow_uuid: str, rows: Sequence[InputRow]) -> None:
        head = self.read_head(flow_uuid)
        is_new = head is None or self._read[layout.head_key(flow_uuid)] is None
        for key, text in layout.change_inputs(self._kv, rows).items():
            if text is None:
                self.delete(key)
            elif is_new:
                self.put_early(key, text, layout.head_key(flow_uuid))
            else:
                self.put(key, text)

    def _change_attempts(self, flow_uuid: str, change: AttemptsChange) -> None:
        text = self.get(layout.retry_now_key(flow_uuid, change.retry_uuid))
        now = RetryNow(change.retry_uuid) if text is None else RetryNow(*layout.decode(text))
        changed = layout.change_attempts(flow_uuid, change, now)
        for key, row in changed.rows.items():
            self.put_early(key, row, layout.head_key(flow_uuid))
        for key in changed.unreferenced:
            self.delete(key, late=True)
        self.put(*layout.retry_item(flow_uuid, changed.now))

    def _add_atoms(self, flow_uuid: str, records: Sequence[AtomRecord]) -> None:
        head = self._existing_head(flow_uuid)
        known = {record.uuid for record in self.read_atoms(flow_uuid)} if head.atom_pages else set()
        for record in records:
            if record.uuid in known:
                raise duplicate("atom", record.uuid)
            known.add(record.uuid)
        pages = list(layout.encode_atom_pages(records))
        for number, page in enumerate(pages, start=head.atom_pages):
            self.put_early(layout.atom_page_key(flow_uuid, number), page, layout.head_key(flow_uuid))
        self._put_head(flow_uuid, head._replace(atom_pages=head.atom_pages + len(pages)))

    def _change_atoms(self, flow_uuid: str, records: Sequence[AtomRecord]) -> None:
        head = self._existing_head(flow_uuid)
        changed = {record.uuid: record for record in records}
        values = {record.uuid: record[5:] for record in records}
        encoded = layout.encode_atom_values(flow_uuid, values, head.writes + 1, self.limits)
        only = records[0].uuid if len(records) == 1 else ""
        prefixes = tuple(layout.parts_prefix(flow_uuid, record.uuid) for record in records)
        needed = frozenset[str]().union(
            *(layout.references(flow_uuid, uuid, columns) for uuid, columns in values.items())
        )
        for part in self.items(layout.parts_prefix(flow_uuid, only)):
            if part.key.startswith(prefixes) and part.key not in needed:
                self.delete(part.key, late=True)
        for key, text in encoded.parts.items():
            self.put_early(key, text, layout.head_key(flow_uuid))
        for key, value in encoded.puts.items():
            self.put(key, value)
        # The pages contain the name of an atom, which may change as well.
        for page in self.items(layout.atom_pages_prefix(flow_uuid)):
            if not any(uuid in page.value for uuid in changed):
                continue
            old = list(layout.decode_atom_page(page.value, flow_uuid))
            new = [changed.get(record.uuid, record).with_values(record[5:]) for record in old]
            if new != old:
                self.put(page.key, layout.encode_atom_page(new))
        self._put_head(flow_uuid, head)

    def _existing_head(self, flow_uuid: str) -> FlowHead:
        head = self.read_head(flow_uuid)
        if head is None:
            raise not_found("flow", flow_uuid)
        return head

    def _existing_row(self, flow_uuid: str) -> FlowRow:
        row = self.read_row(flow_uuid)
        if row is None:
            raise not_found("flow", flow_uuid)
        return row

    def _put_head(self, flow_uuid: str, head: FlowHead) -> None:
        self.put(layout.head_key(flow_uuid), layout.encode(head._replace(writes=head.writes + 1)))

    def _put_row(self, flow_uuid: str, row: FlowRow) -> None:
        self.put(layout.row_key(flow_uuid), layout.encode(row))


#: How often to read an atom again whose values are changed meanwhile.
_MAX_READS: Final = 20

#: The values of many atoms by write, each with its number.
_Written = list[tuple[int, dict[str, Sequence[Any]]]]


class _Parts:
    """Reads parts of values.

    Args:
        kv: the store.
        known: the parts that were read, by key.
    """

    def __init__(self, kv: KV, known: dict[str, str]) -> None:
        self._kv = kv
        self._known = known

    def read(self, key: str) -> str:
        """Return the text of a part; raise ``NotFound`` if there is none."""
        text = self._known.get(key)
        if text is None:
            item = self._kv.get(key)
            if item is None:
                raise exc.NotFound(f"no item '{key}'")
            text = self._known[key] = item.value
        return text


def _decode_batches(flow_uuid: str, items: Iterable[Item], parts: _Parts) -> _Written:
    """Decode the values of many atoms, each batch with the number of its write."""
    return [
        (int(item.key.rpartition("/")[2]), layout.decode_batch(flow_uuid, item.value, parts.read))
        for item in items
    ]


def _latest_columns(record: AtomRecord, text: str | None, written: _Written) -> Sequence[Any]:
    """Return the columns of an atom that were written last; parts are references."""
    if text is None and not written:
        return record[5:]
    latest, *columns = (-1, *record[5:]) if text is None else layout.decode(text)
    for number, values in written:
        if number > latest and record.uuid in values:
            latest, columns = number, list(values[record.uuid])
    return columns
