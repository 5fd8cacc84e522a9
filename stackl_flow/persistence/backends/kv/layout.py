"""How logbooks, flows, atoms and transitions are stored in a key-value store: keys, and the value of each.

::

    persistence/format                        {"format": 2}
    persistence/book/BOOK/row                 the logbook
    persistence/book/BOOK/flows/SORT-FLOW     "FLOW": the flows of a logbook, in the order they were added
    persistence/flows/SORT-FLOW               "FLOW": all flows, in the order they were added
    persistence/flow/FLOW/row                 name, metadata, logbook: what seldom changes
    persistence/flow/FLOW/head                epoch, owner, state, the counts of atom pages and transitions
    persistence/flow/FLOW/made/NUMBER         a page of atoms, as they were when they were added
    persistence/flow/FLOW/atom/ATOM           the current values of an atom
    persistence/flow/FLOW/many/WRITE          those of many atoms at once, where a commit takes few items
    persistence/flow/FLOW/part/OWNER/NAME     a long value of an atom, or a piece of a "many" that is too long
    persistence/flow/FLOW/retry/ATOM/now      which rows the history of a retry has: generation and count
    persistence/flow/FLOW/retry/ATOM/GEN/SEQ  a row of that history
    persistence/inputs/FLOW/PART/NAME         an input of a flow, or another large value of its metadata
    persistence/history/FLOW/NUMBER           a page of transitions

Every write of a flow also writes its head, in the same commit, and checks the version of the head that was
read. So of two concurrent writers one fails, and a former owner can write nothing. A checkpoint writes the
head, one item for each atom that changed, and the last page of transitions: never the whole flow. New atoms
are stored by the hundred on a page, because a flow may have a hundred thousand and most stores take each item
one by one.

A long value of an atom is a part: an item of its own, with a reference in the item of the atom. The name of
a part contains a digest of its text, so that it may be written before the commit that refers to it. So may
pages of history, and rows of a retry's history: those after the count in the head, or in "now", do not exist
for readers. A checkpoint that is too large for one commit is written that way: parts, pages and rows first,
in commits that check the version of the head, then all the rest. A retry's history that starts again is a new
generation.

The inputs of a flow are written when they change, and not with its steps. The version that counts their
changes is stored with the metadata, in a form that older versions of this code refuse to read: they would run
the flow without its inputs.

There is no index from the UUID of an atom to its flow: it would double the items of every flow for a query
that is rare. A connection that has not read the flow searches all flows, newest first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from stackl_flow.kv.items import Limits, quote
from stackl_flow.kv.store import KV
from stackl_flow.persistence.records import (
    AtomRecord,
    AtomUpdate,
    AttemptRow,
    AttemptsChange,
    BookRecord,
    FlowRecord,
    InputRow,
    StoredText,
    Transition,
    is_reference,
)

FORMAT: Final = 2
ROOT: Final = "persistence/"
FORMAT_KEY: Final = f"{ROOT}format"
BOOKS: Final = f"{ROOT}book/"
FLOWS: Final = f"{ROOT}flows/"
#: How many transitions a page has. The last page is written again with each checkpoint, until it is full.
TRANSITIONS_PER_PAGE: Final = 32
#: How many characters of atoms a page has; ZooKeeper takes a million.
_MAX_ATOM_PAGE: Final = 60_000
#: The owner of the parts of a "many".
_MANY: Final = "many"
#: The columns of an atom that change while it runs, in the order in which they are stored.
_COLUMNS: Final = AtomUpdate._fields[1:]

encode = json.JSONEncoder(separators=(",", ":")).encode
decode = json.loads


class FlowHead(NamedTuple):
    """What changes in a flow with every write.

    Attributes:
        epoch: the epoch of its owner.
        owner: its owner, or None.
        state: its state, or None.
        updated_at: when it changed last, or None.
        atom_pages: how many pages of atoms it has.
        transitions: how many transitions it has.
        writes: how often it was written.
    """

    epoch: int
    owner: str | None
    state: str | None
    updated_at: float | None
    atom_pages: int
    transitions: int
    writes: int


class FlowRow(NamedTuple):
    """What seldom changes in a flow; flows are ordered by ``sort_key``."""

    book_uuid: str
    name: str
    meta: str | None
    created_at: float
    sort_key: str


# ---------------------------------------------------------------------- keys


def book_prefix(uuid: str) -> str:
    """Return the prefix of a logbook's row and flows."""
    return f"{BOOKS}{quote(uuid)}/"


def book_key(uuid: str) -> str:
    """Return the key of a logbook's row."""
    return f"{book_prefix(uuid)}row"


def flows_of_book_prefix(book_uuid: str) -> str:
    """Return the prefix of a logbook's flows."""
    return f"{book_prefix(book_uuid)}flows/"


def flow_prefix(uuid: str) -> str:
    """Return the prefix of all that is stored of a flow, except its history."""
    return f"{ROOT}flow/{quote(uuid)}/"


def head_key(uuid: str) -> str:
    """Return the key of a flow's head."""
    return f"{flow_prefix(uuid)}head"


def row_key(uuid: str) -> str:
    """Return the key of a flow's row."""
    return f"{flow_prefix(uuid)}row"


def order_keys(book_uuid: str, flow_uuid: str, sort_key: str) -> tuple[str, str]:
    """Return the two keys that order a flow: among those of its logbook, and among all."""
    name = f"{sort_key}-{quote(flow_uuid)}"
    return f"{flows_of_book_prefix(book_uuid)}{name}", f"{FLOWS}{name}"


def atom_pages_prefix(flow_uuid: str) -> str:
    """Return the prefix of the pages of atoms."""
    return f"{flow_prefix(flow_uuid)}made/"


def atom_page_key(flow_uuid: str, number: int) -> str:
    """Return the key of a page of atoms."""
    return f"{atom_pages_prefix(flow_uuid)}{number:08}"


def atom_key(flow_uuid: str, uuid: str) -> str:
    """Return the key of the current values of an atom."""
    return f"{flow_prefix(flow_uuid)}atom/{quote(uuid)}"


def batches_prefix(flow_uuid: str) -> str:
    """Return the prefix of the current values of many atoms."""
    return f"{flow_prefix(flow_uuid)}many/"


def history_prefix(flow_uuid: str) -> str:
    """Return the prefix of a flow's history."""
    return f"{ROOT}history/{quote(flow_uuid)}/"


def history_key(flow_uuid: str, number: int) -> str:
    """Return the key of a page of transitions."""
    return f"{history_prefix(flow_uuid)}{number:010}"


# ---------------------------------------------------------------------- logbooks and flows


def encode_book(record: BookRecord, sort_key: str) -> str:
    """Encode a logbook and its sort key."""
    return encode({**record._asdict(), "stamp": sort_key})


def decode_book(text: str) -> tuple[str, BookRecord]:
    """Decode the sort key of a logbook, and the logbook."""
    columns = decode(text)
    return columns.pop("stamp"), BookRecord(**columns)


_INPUTS_VERSION: Final = '{"$inputs":['


def pack_meta(meta: str | None, inputs_version: int) -> str | None:
    """Return the metadata of a flow and the version of its inputs as they are stored."""
    return meta if not inputs_version else f"{_INPUTS_VERSION}{inputs_version},{encode(meta)}]}}"


def unpack_meta(text: str | None) -> tuple[str | None, int]:
    """Return the metadata of a flow and the version of its inputs."""
    if text is None or not text.startswith(_INPUTS_VERSION):
        return text, 0
    version, meta = decode(text)["$inputs"]
    return meta, version


def flow_record(uuid: str, row: FlowRow, head: FlowHead) -> FlowRecord:
    """Return the record of a flow."""
    meta, inputs_version = unpack_meta(row.meta)
    return FlowRecord(
        uuid,
        row.book_uuid,
        row.name,
        head.state,
        meta,
        head.epoch,
        head.owner,
        row.created_at,
        head.updated_at,
        inputs_version,
    )


def inputs_prefix(flow_uuid: str, part: str = "") -> str:
    """Return the prefix of the inputs of a flow, or of one part of them."""
    return f"{ROOT}inputs/{quote(flow_uuid)}/{f'{quote(part)}/' if part else ''}"


def input_key(flow_uuid: str, part: str, name: str | None) -> str:
    """Return the key of an input."""
    return f"{inputs_prefix(flow_uuid, part)}{f'={quote(name)}' if name else 'all'}"


def change_inputs(kv: KV, changes: Iterable[InputRow]) -> dict[str, str | None]:
    """Return what a change of a flow's inputs writes: keys and values, None for those to delete.

    Args:
        kv: the store, where the keys of a part that is deleted are read.
        changes: the rows, deletions first.
    """
    items: dict[str, str | None] = {}
    for row in changes:
        if row.name is None:
            items.update((item.key, None) for item in kv.list(inputs_prefix(row.flow_uuid, row.part)))
        else:
            items[input_key(*row[:3])] = None if row.value is None else encode_input(row)
    return items


def prefixes(flow_uuid: str) -> tuple[str, ...]:
    """Return the prefixes of all that is stored of a flow, besides its order."""
    return flow_prefix(flow_uuid), inputs_prefix(flow_uuid), history_prefix(flow_uuid)


def encode_input(row: InputRow) -> str:
    """Encode an input."""
    return encode([row.part, row.name, row.value])


def decode_input(flow_uuid: str, text: str) -> InputRow:
    """Decode an input."""
    return InputRow(flow_uuid, *decode(text))


# ---------------------------------------------------------------------- atoms


def encode_atom_pages(records: Iterable[AtomRecord]) -> Iterator[str]:
    """Encode new atoms of a flow on as many pages as they take."""
    lines: list[str] = []
    size = 0
    for record in records:
        line = _encode_atom(record)
        if lines and size + len(line) > _MAX_ATOM_PAGE:
            yield f"[{','.join(lines)}]"
            lines, size = [], 0
        lines.append(line)
        size += len(line) + 1
    if lines:
        yield f"[{','.join(lines)}]"


def encode_atom_page(records: Iterable[AtomRecord]) -> str:
    """Encode atoms of a flow on one page, whatever its size."""
    return f"[{','.join(map(_encode_atom, records))}]"


def _encode_atom(record: AtomRecord) -> str:
    uuid, _, *columns = record
    return encode([uuid, *columns])


def decode_atom_page(text: str, flow_uuid: str) -> Iterator[AtomRecord]:
    """Decode the atoms of a page, as they were when they were added."""
    for uuid, *columns in decode(text):
        yield AtomRecord(uuid, flow_uuid, *columns)


def parts_prefix(flow_uuid: str, owner: str = "") -> str:
    """Return the prefix of the parts of a flow, or of one of its atoms."""
    return f"{flow_prefix(flow_uuid)}part/{f'{quote(owner)}/' if owner else ''}"


def part_key(flow_uuid: str, atom_uuid: str, column: str, reference: str) -> str:
    """Return the key of the long value of an atom to which a column refers."""
    return f"{parts_prefix(flow_uuid, atom_uuid)}{column}-{reference.rpartition(':')[2]}"


def references(flow_uuid: str, atom_uuid: str, columns: Sequence[Any]) -> frozenset[str]:
    """Return the keys of the parts to which the columns of an atom refer."""
    return frozenset(
        part_key(flow_uuid, atom_uuid, name, text)
        for name, text in zip(_COLUMNS, columns, strict=False)
        if is_reference(text)
    )


def join_values(
    flow_uuid: str, atom_uuid: str, columns: Sequence[Any], read_part: Callable[[str], str]
) -> Sequence[Any]:
    """Replace references in the columns of an atom by what they refer to.

    Args:
        flow_uuid: UUID of its flow.
        atom_uuid: UUID of the atom.
        columns: the columns.
        read_part: returns the text of the part with a key.
    """
    if not any(map(is_reference, columns)):
        return columns
    return [
        StoredText.of(read_part(part_key(flow_uuid, atom_uuid, name, text)), text)
        if is_reference(text)
        else text
        for name, text in zip(_COLUMNS, columns, strict=False)
    ]


def _part_name(number: int, text: str) -> str:
    return f"{number}-{blake2b(text.encode(), digest_size=16).hexdigest()}"


class AtomValues(NamedTuple):
    """The current values of atoms, encoded.

    Attributes:
        puts: keys and values to write in one commit.
        parts: keys and values of the pieces of a value that is too long, to write before or with them.
    """

    puts: dict[str, str]
    parts: dict[str, str]


def encode_atom_values(
    flow_uuid: str, values: Mapping[str, Sequence[Any]], write_number: int, limits: Limits
) -> AtomValues:
    """Encode the current values of atoms.

    Args:
        flow_uuid: UUID of their flow.
        values: all columns that change while an atom runs, by the atom's UUID.
        write_number: the number of this write of the flow; of several values of an atom the latest counts.
        limits: what a commit may have. There is an item for each atom, or one for all if they are too many.
    """
    parts: dict[str, str] = {}
    if limits.operations is None or len(values) <= limits.operations // 4:
        puts = {
            atom_key(flow_uuid, uuid): encode([write_number, *columns]) for uuid, columns in values.items()
        }
        if _fit_in_half(puts, limits):
            return AtomValues(puts, parts)
    key = f"{batches_prefix(flow_uuid)}{write_number:012}"
    text = encode(values)
    room = None if limits.commit is None else limits.commit // 2
    if room is None or len(text) <= room:
        return AtomValues({key: text}, parts)
    names: list[str] = []
    for chunk in _chunks(values, room // 2):
        names.append(_part_name(write_number, chunk))
        parts[f"{parts_prefix(flow_uuid, _MANY)}{names[-1]}"] = chunk
    return AtomValues({key: encode({"": names})}, parts)


def _fit_in_half(puts: Mapping[str, str], limits: Limits) -> bool:
    """Return whether there is room for as much in a commit of these."""
    if limits.commit is None:
        return True
    return sum([len(key) + limits.overhead + len(text) for key, text in puts.items()]) <= limits.commit // 2


def _chunks(values: Mapping[str, Sequence[Any]], size: int) -> Iterator[str]:
    """Encode values in several texts of so many characters at most, or of one atom each."""
    lines: list[str] = []
    length = 0
    for uuid, columns in values.items():
        line = f"{encode(uuid)}:{encode(columns)}"
        if lines and length + len(line) > size:
            yield f"{{{','.join(lines)}}}"
            lines, length = [], 0
        lines.append(line)
        length += len(line) + 1
    yield f"{{{','.join(lines)}}}"


def decode_batch(flow_uuid: str, text: str, read_part: Callable[[str], str]) -> dict[str, Sequence[Any]]:
    """Decode the values of many atoms that were written at once; references are not replaced."""
    values: dict[str, Sequence[Any]] = decode(text)
    if "" in values:
        prefix = parts_prefix(flow_uuid, _MANY)
        names = values.pop("")
        for name in names:
            values.update(decode(read_part(f"{prefix}{name}")))
    return values


# ---------------------------------------------------------------------- transitions


def append_transitions(
    page: list[Sequence[Any]], transitions: Iterable[Transition], count: int
) -> Iterator[tuple[int, list[Sequence[Any]]]]:
    """Append transitions to the last page, and to new pages when it is full.

    Args:
        page: the last page if it is not full, else an empty one; it is not changed.
        transitions: at least one.
        count: how many transitions there are already.

    Yields:
        The number and the content of each page to write.
    """
    page = list(page)
    for number, transition in enumerate(transitions, start=count):
        if number % TRANSITIONS_PER_PAGE == 0:
            if page:
                yield (number - 1) // TRANSITIONS_PER_PAGE, page
            page = []
        page.append(transition.columns)
        count = number + 1
    if page:
        yield (count - 1) // TRANSITIONS_PER_PAGE, page


def decode_transitions(text: str, number: int) -> Iterator[Transition]:
    """Decode the transitions of the page with a number; those after the head's count do not exist."""
    first = number * TRANSITIONS_PER_PAGE + 1
    for seq, columns in enumerate(decode(text), start=first):
        yield Transition.from_columns(seq, columns)


# ---------------------------------------------------------------------- histories of retries


class RetryNow(NamedTuple):
    """Which rows the history of a retry has: those of one generation, up to a count."""

    retry_uuid: str
    generation: int = 0
    length: int = 0


def retries_prefix(flow_uuid: str) -> str:
    """Return the prefix of the histories of a flow's retries."""
    return f"{flow_prefix(flow_uuid)}retry/"


def retry_now_key(flow_uuid: str, retry_uuid: str) -> str:
    """Return the key of the item that says which rows count."""
    return f"{retries_prefix(flow_uuid)}{quote(retry_uuid)}/now"


def retry_item(flow_uuid: str, now: RetryNow) -> tuple[str, str]:
    """Return the key and the value of the item that says which rows count."""
    return retry_now_key(flow_uuid, now.retry_uuid), encode(now)


def attempt_key(flow_uuid: str, retry_uuid: str, generation: int, seq: int) -> str:
    """Return the key of a row."""
    return f"{retries_prefix(flow_uuid)}{quote(retry_uuid)}/{generation}/{seq:08}"


def encode_attempt(row: AttemptRow) -> str:
    """Encode a row."""
    return encode([row.attempt, row.atom, row.value])


def decode_attempt(retry_uuid: str, seq: int, text: str) -> AttemptRow:
    """Decode a row."""
    return AttemptRow(retry_uuid, seq, *decode(text))


class AttemptItems(NamedTuple):
    """The items that a change of a retry's history takes.

    Attributes:
        now: the item that says which rows count, to write in the commit.
        rows: the rows, to write before or with it.
        unreferenced: keys of rows that do not count any more.
    """

    now: RetryNow
    rows: dict[str, str]
    unreferenced: list[str]


def change_attempts(flow_uuid: str, change: AttemptsChange, now: RetryNow) -> AttemptItems:
    """Return what a change of a retry's history writes.

    Args:
        flow_uuid: UUID of the flow.
        change: the change.
        now: which rows count before it.
    """
    retry, keep, rows = change
    generation = now.generation if keep == now.length else now.generation + 1
    added = {attempt_key(flow_uuid, retry, generation, row.seq): encode_attempt(row) for row in rows}
    left = [] if keep == now.length else range(now.length)
    unreferenced = [attempt_key(flow_uuid, retry, now.generation, seq) for seq in left]
    return AttemptItems(RetryNow(retry, generation, keep + len(rows)), added, unreferenced)
