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
    persistence/history/FLOW/NUMBER           a page of transitions

Every write of a flow also writes its head, in the same commit, and checks the version of the head that was
read. So of two concurrent writers one fails, and a former owner can write nothing. A checkpoint writes the
head, one item for each atom that changed, and the last page of transitions: never the whole flow. New atoms
are stored by the hundred on a page, because a flow may have a hundred thousand and most stores take each item
one by one.

There is no index from the UUID of an atom to its flow: it would double the items of every flow for a query
that is rare. A connection that has not read the flow searches all flows, newest first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from stackl_flow.kv.items import quote
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


def encode_atom_values(
    flow_uuid: str, values: Mapping[str, Sequence[Any]], write_number: int, operations: int | None
) -> Iterator[tuple[str, str]]:
    """Encode the current values of atoms.

    Args:
        flow_uuid: UUID of their flow.
        values: all columns that change while an atom runs, by the atom's UUID.
        write_number: the number of this write of the flow; of several values of an atom the latest counts.
        operations: how many items a commit may have; None for any number.

    Yields:
        Keys and values: one for each atom, or one for all if they are too many for a commit.
    """
    if operations is not None and len(values) > operations // 4:
        yield f"{batches_prefix(flow_uuid)}{write_number:012}", encode(values)
        return
    for uuid, columns in values.items():
        yield atom_key(flow_uuid, uuid), encode([write_number, *columns])


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
    """Decode the transitions of the page with a number."""
    first = number * TRANSITIONS_PER_PAGE + 1
    for seq, (atom, old, new, at, owner) in enumerate(decode(text), start=first):
        yield Transition(seq, atom, old, new, at, owner)
