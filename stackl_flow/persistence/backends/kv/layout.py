"""How books, flows, atoms and moves lie in a place of items: their keys, and what stands under each.

::

    persistence/format                        {"format": 1}
    persistence/book/BOOK/row                 the book
    persistence/book/BOOK/flows/STAMP-FLOW    "FLOW": the flows of a book, in the order they came
    persistence/flows/STAMP-FLOW              "FLOW": all flows, in the order they came
    persistence/flow/FLOW/row                 name, notes, book: what changes seldom
    persistence/flow/FLOW/head                epoch, owner, state, how many atoms' pages and moves there are
    persistence/flow/FLOW/made/NUMBER         a page of atoms, as they were when they were added
    persistence/flow/FLOW/atom/ATOM           what changed of an atom since
    persistence/flow/FLOW/many/WRITE          the same of many atoms at once, where a place takes few items
    persistence/history/FLOW/NUMBER           a page of moves

Whoever writes anything of a flow writes its head in the same commit, and checks the version it had read: so
two writers never both land, and an owner who was superseded lands nothing. A checkpoint writes the head, one
item for each atom that moved, and the last page of moves: never the whole flow. New atoms come by the hundred
on a page, because a flow may have a hundred thousand and most places take each item one by one.

Nothing tells from an atom's uuid alone where it is: an index would double the items of every flow for a
question that is asked seldom. A connection that has not read its flow looks through the flows, newest first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from stackl_flow.kv.items import quote
from stackl_flow.persistence.records import AtomRecord, BookRecord, FlowRecord, Transition

FORMAT: Final = 1
ROOT: Final = "persistence/"
FORMAT_KEY: Final = f"{ROOT}format"
BOOKS: Final = f"{ROOT}book/"
FLOWS: Final = f"{ROOT}flows/"
#: How many moves stand on a page of the history: it is written again with each, until it is full.
PAGE: Final = 32
#: How many characters of atoms stand on a page; ZooKeeper takes a million.
_MADE_PAGE: Final = 60_000

write = json.JSONEncoder(separators=(",", ":")).encode
read = json.loads


class Head(NamedTuple):
    """What changes of a flow with every write; counts the pages of its atoms, its moves, and the writes."""

    epoch: int
    owner: str | None
    state: str | None
    updated_at: float | None
    pages: int
    moves: int
    writes: int


class Row(NamedTuple):
    """What seldom changes of a flow; ``stamp`` gives its place in the order of flows."""

    book_uuid: str
    name: str
    meta: str | None
    created_at: float
    stamp: str


def book_prefix(uuid: str) -> str:
    """Give the prefix of a book's row and flows."""
    return f"{BOOKS}{quote(uuid)}/"


def book_key(uuid: str) -> str:
    """Give the key of a book's row."""
    return f"{book_prefix(uuid)}row"


def flows_of(book_uuid: str) -> str:
    """Give the prefix of a book's flows."""
    return f"{book_prefix(book_uuid)}flows/"


def flow_prefix(uuid: str) -> str:
    """Give the prefix of all that is stored of a flow, but its history."""
    return f"{ROOT}flow/{quote(uuid)}/"


def head_key(uuid: str) -> str:
    """Give the key of a flow's head."""
    return f"{flow_prefix(uuid)}head"


def row_key(uuid: str) -> str:
    """Give the key of a flow's row."""
    return f"{flow_prefix(uuid)}row"


def made_key(flow_uuid: str, number: int) -> str:
    """Give the key of a page of atoms."""
    return f"{flow_prefix(flow_uuid)}made/{number:08}"


def atom_key(flow_uuid: str, uuid: str) -> str:
    """Give the key of what changed of an atom."""
    return f"{flow_prefix(flow_uuid)}atom/{quote(uuid)}"


def atom_items(
    flow_uuid: str, moved: Mapping[str, Sequence[Any]], write_number: int, operations: int | None
) -> Iterator[tuple[str, str]]:
    """Write what changed of atoms.

    Args:
        flow_uuid: their flow.
        moved: all columns that can change while an atom runs, by the atom's uuid.
        write_number: the number of this write of the flow: of two that tell of an atom the later one counts.
        operations: how many items a commit may have; None for any.

    Yields:
        Keys and values: an item each, or one for all where they would be too many.
    """
    if operations is not None and len(moved) > operations // 4:
        yield f"{flow_prefix(flow_uuid)}many/{write_number:012}", write(moved)
        return
    for uuid, columns in moved.items():
        yield atom_key(flow_uuid, uuid), write([write_number, *columns])


def history_prefix(flow_uuid: str) -> str:
    """Give the prefix of a flow's history."""
    return f"{ROOT}history/{quote(flow_uuid)}/"


def history_key(flow_uuid: str, number: int) -> str:
    """Give the key of a page of moves."""
    return f"{history_prefix(flow_uuid)}{number:010}"


def flow_record(uuid: str, row: Row, head: Head) -> FlowRecord:
    """Put a flow's record together.

    Args:
        uuid: the flow.
        row: what seldom changes.
        head: what changes often.

    Returns:
        The record.
    """
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


def write_book(record: BookRecord, stamp: str) -> str:
    """Write a book.

    Args:
        record: the book.
        stamp: its place in the order of books.

    Returns:
        The text.
    """
    return write({**record._asdict(), "stamp": stamp})


def read_book(text: str) -> tuple[str, BookRecord]:
    """Read a book.

    Args:
        text: what ``write_book`` gave.

    Returns:
        Its place in the order of books, and the book.
    """
    told = read(text)
    return told.pop("stamp"), BookRecord(**told)


def made_pages(records: Iterable[AtomRecord]) -> Iterator[str]:
    """Write new atoms on pages.

    Args:
        records: the atoms, all of one flow.

    Yields:
        The pages.
    """
    lines: list[str] = []
    size = 0
    for record in records:
        line = _made_line(record)
        if lines and size + len(line) > _MADE_PAGE:
            yield f"[{','.join(lines)}]"
            lines, size = [], 0
        lines.append(line)
        size += len(line) + 1
    if lines:
        yield f"[{','.join(lines)}]"


def made_page(records: Iterable[AtomRecord]) -> str:
    """Write atoms on one page, however long it gets.

    Args:
        records: the atoms, all of one flow.

    Returns:
        The page.
    """
    return f"[{','.join(map(_made_line, records))}]"


def _made_line(record: AtomRecord) -> str:
    uuid, _, *columns = record
    return write([uuid, *columns])


def read_made(text: str, flow_uuid: str) -> Iterator[AtomRecord]:
    """Read a page of atoms.

    Args:
        text: one of ``made_pages``.
        flow_uuid: the flow they belong to.

    Yields:
        The atoms as they were when they were added.
    """
    for uuid, *columns in read(text):
        yield AtomRecord(uuid, flow_uuid, *columns)


def add_moves(
    page: list[list[Any]], moves: Iterable[Sequence[Any]], owner: str, number: int
) -> Iterator[tuple[int, list[list[Any]]]]:
    """Write moves behind those on the last page, and on new pages when it is full.

    Args:
        page: the last page, if it is not full, else an empty one; it is not changed.
        moves: what is to be added: atom, old state, new state, time; at least one.
        owner: who made them.
        number: how many moves there are already.

    Yields:
        The pages to write, each with its number.
    """
    page = list(page)
    for at, move in enumerate(moves, start=number):
        if at % PAGE == 0:
            if page:
                yield (at - 1) // PAGE, page
            page = []
        page.append([*move, owner])
        number = at + 1
    if page:
        yield (number - 1) // PAGE, page


def read_moves(text: str, number: int) -> Iterator[Transition]:
    """Read a page of moves.

    Args:
        text: the page.
        number: its number.

    Yields:
        The moves.
    """
    for seq, (atom, old, new, at, owner) in enumerate(read(text), start=number * PAGE + 1):
        yield Transition(seq, atom, old, new, at, owner)
