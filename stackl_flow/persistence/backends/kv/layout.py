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
    persistence/history/FLOW/NUMBER           a page of transitions

Every write of a flow also writes its head, in the same commit, and checks the version of the head that was
read. So of two concurrent writers one fails, and a former owner can write nothing. A checkpoint writes the
head, one item for each atom that changed, and the last page of transitions: never the whole flow. New atoms
are stored by the hundred on a page, because a flow may have a hundred thousand and most stores take each item
one by one.

A value of an atom that is longer than ``PART_SIZE`` is a part: an item of its own, with a reference in the
item of the atom. The name of a part contains a digest of its text, so that a part is written once, as long as
the value does not change, and may be written before the commit that refers to it. So may pages of history:
those after the count in the head do not exist for readers. A checkpoint that is too large for one commit is
written that way: parts and pages first, in commits that check the version of the head, then all the rest.

There is no index from the UUID of an atom to its flow: it would double the items of every flow for a query
that is rare. A connection that has not read the flow searches all flows, newest first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from stackl_flow.kv.items import Limits, quote
from stackl_flow.persistence.records import AtomRecord, BookRecord, FlowRecord, Transition

FORMAT: Final = 2
ROOT: Final = "persistence/"
FORMAT_KEY: Final = f"{ROOT}format"
BOOKS: Final = f"{ROOT}book/"
FLOWS: Final = f"{ROOT}flows/"
#: How many transitions a page has. The last page is written again with each checkpoint, until it is full.
TRANSITIONS_PER_PAGE: Final = 32
#: How many characters of atoms a page has; ZooKeeper takes a million.
_MAX_ATOM_PAGE: Final = 60_000
#: How many characters of an atom's value are stored in the item of the atom.
PART_SIZE: Final = 8_000
#: The owner of the parts of a "many".
_MANY: Final = "many"

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


def flow_record(uuid: str, row: FlowRow, head: FlowHead) -> FlowRecord:
    """Return the record of a flow."""
    return FlowRecord(
        uuid,
        row.book_uuid,
        row.name,
        head.state,
        row.meta,
        head.epoch,
        head.owner,
        row.created_at,
        head.updated_at,
    )


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


def split_values(
    flow_uuid: str, atom_uuid: str, columns: Sequence[Any]
) -> tuple[Sequence[Any], dict[str, str]]:
    """Replace the long columns of an atom by references.

    Returns:
        The columns, and the keys and texts of the parts that they refer to.
    """
    long = [text for text in columns if type(text) is str and len(text) > PART_SIZE]
    if not long:
        return columns, {}
    parts: dict[str, str] = {}
    short: list[Any] = []
    for number, text in enumerate(columns):
        if type(text) is not str or len(text) <= PART_SIZE:
            short.append(text)
            continue
        name = _part_name(number, text)
        short.append({"part": name})
        parts[f"{parts_prefix(flow_uuid, atom_uuid)}{name}"] = text
    return short, parts


def _part_name(number: int, text: str) -> str:
    return f"{number}-{blake2b(text.encode(), digest_size=16).hexdigest()}"


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
    if not any(type(column) is dict for column in columns):
        return columns
    prefix = parts_prefix(flow_uuid, atom_uuid)
    return [read_part(prefix + column["part"]) if type(column) is dict else column for column in columns]


class AtomValues(NamedTuple):
    """The current values of atoms, encoded.

    Attributes:
        puts: keys and values to write in one commit.
        parts: keys and values of what they refer to, to write before or with them.
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
    short: dict[str, Sequence[Any]] = {}
    for uuid, columns in values.items():
        short[uuid], long = split_values(flow_uuid, uuid, columns)
        parts.update(long)
    if limits.operations is None or len(values) <= limits.operations // 4:
        puts = {
            atom_key(flow_uuid, uuid): encode([write_number, *columns]) for uuid, columns in short.items()
        }
        if _fit_in_half(puts, limits):
            return AtomValues(puts, parts)
    key = f"{batches_prefix(flow_uuid)}{write_number:012}"
    text = encode(short)
    room = None if limits.commit is None else limits.commit // 2
    if room is None or len(text) <= room:
        return AtomValues({key: text}, parts)
    names: list[str] = []
    for chunk in _chunks(short, room // 2):
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
    page: list[list[Any]], transitions: Iterable[Sequence[Any]], owner: str, count: int
) -> Iterator[tuple[int, list[list[Any]]]]:
    """Append transitions to the last page, and to new pages when it is full.

    Args:
        page: the last page if it is not full, else an empty one; it is not changed.
        transitions: at least one (atom, old state, new state, time).
        owner: the process that made them.
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
        page.append([*transition, owner])
        count = number + 1
    if page:
        yield (count - 1) // TRANSITIONS_PER_PAGE, page


def decode_transitions(text: str, number: int) -> Iterator[Transition]:
    """Decode the transitions of the page with a number; those after the head's count do not exist."""
    first = number * TRANSITIONS_PER_PAGE + 1
    for seq, (atom, old, new, at, owner) in enumerate(decode(text), start=first):
        yield Transition(seq, atom, old, new, at, owner)
