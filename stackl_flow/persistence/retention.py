"""Books whose flows have ended, removed by a rule: how long they are kept, which longer, and how many.

A book is removed whole, with the history of its flows, and only when every flow in it has ended and none is
parked. Time comes by the door; nothing here looks at a clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.persistence.base import Backend, Connection
from stackl_flow.persistence.models import LogBook
from stackl_flow.persistence.records import FlowRecord

#: Where a book's notes name the job that it was posted with.
JOB: Final = "job"

_FAILED: Final = frozenset({st.REVERTED, st.FAILURE})
_ENDED: Final = _FAILED | {st.SUCCESS}


@dataclass(frozen=True, slots=True)
class Keep:
    """How long books are kept once their flows have ended.

    Args:
        seconds: so long.
        failed: so many seconds where a flow failed, ``math.inf`` for ever; as the others if left out.
        newest: so many of those that ended last stay, however old they are.

    Raises:
        ValueError: one of them is below zero.
    """

    seconds: float = 0.0
    failed: float | None = None
    newest: int = 0

    def __post_init__(self) -> None:
        if self.seconds < 0 or (self.failed or 0) < 0 or self.newest < 0:
            raise ValueError(f"books cannot be kept for less than no time, nor fewer than none: {self}")

    @classmethod
    def of(cls, given: bool | float | Self) -> Self | None:
        """Read a rule.

        Args:
            given: True to keep nothing, False to keep all, seconds, or a rule.

        Returns:
            The rule, None if all is kept.

        Raises:
            TypeError: it is none of these.
        """
        if isinstance(given, bool):
            return cls() if given else None
        if isinstance(given, int | float):
            return cls(seconds=float(given))
        if isinstance(given, cls):
            return given
        raise TypeError(f"True, False, seconds or a Keep(...) is needed, not {given!r}")

    def is_over(self, book: EndedBook, now: float) -> bool:
        """Say whether a book has been kept long enough.

        Args:
            book: the book.
            now: seconds since 1970, UTC.
        """
        return now - book.ended >= self.time_of(failed=book.failed)

    def time_of(self, *, failed: bool) -> float:
        """Say how many seconds a book is kept.

        Args:
            failed: whether one of its flows failed.
        """
        return self.failed if failed and self.failed is not None else self.seconds

    @property
    def pause(self) -> float:
        """How many seconds between two looks are often enough: a tenth of the shortest time that is kept."""
        shortest = min(self.seconds, math.inf if self.failed is None else self.failed)
        return min(3600.0, max(60.0, shortest / 10))


@dataclass(frozen=True, slots=True)
class EndedBook:
    """A book whose flows have all ended.

    Args:
        uuid: its identity.
        name: what it is called.
        flows: how many flows are in it.
        ended: when the last of them ended, in seconds since 1970, UTC.
        failed: whether one of them failed.
        job: the job that it was posted with, or None.
    """

    uuid: str
    name: str
    flows: int
    ended: float
    failed: bool
    job: str | None


Wanted = Callable[[EndedBook], bool]


def ended_books(connection: Connection) -> list[EndedBook]:
    """List the books whose flows have all ended, those that ended first at the head.

    Args:
        connection: to where they are stored; the rows of all flows are read, and none of their atoms.

    Returns:
        The books.
    """
    flows: dict[str, list[FlowRecord]] = {}
    for record in connection.list_flow_records(newest_first=False):
        flows.setdefault(record.book_uuid, []).append(record)
    books = {book.uuid: book for book in connection.get_logbooks(lazy=True)}
    ended = (_ended(books[uuid], own) for uuid, own in flows.items() if uuid in books)
    return sorted((book for book in ended if book is not None), key=lambda book: (book.ended, book.uuid))


def prune(
    backend: Backend,
    keep: Keep,
    now: float,
    wanted: Wanted = lambda _: True,
    *,
    dry_run: bool = False,
) -> Iterator[EndedBook]:
    """Remove the books that have been kept long enough.

    Args:
        backend: where they are stored.
        keep: the rule.
        now: seconds since 1970, UTC.
        wanted: says of a book whether the rule is for it.
        dry_run: remove nothing.

    Yields:
        Each book once it is removed.

    Raises:
        StorageFailure: the place cannot be used.
    """
    with backend.get_connection() as connection:
        found = [book for book in ended_books(connection) if wanted(book)]
        for book in found[: max(0, len(found) - keep.newest)]:
            if keep.is_over(book, now) and (dry_run or _removed(connection, book)):
                yield book


def _ended(book: LogBook, flows: list[FlowRecord]) -> EndedBook | None:
    states = {record.state for record in flows}
    if not states <= _ENDED:
        return None
    last = max(record.updated_at or record.created_at for record in flows)
    notes: Mapping[str, Any] = book.meta
    return EndedBook(book.uuid, book.name, len(flows), last, bool(states & _FAILED), notes.get(JOB))


def _removed(connection: Connection, book: EndedBook) -> bool:
    """Remove a book, unless it is gone, or somebody has begun one of its flows anew, since it was read."""
    try:
        details = connection.get_flows_for_book(book.uuid, lazy=True)
        flows = [connection.get_flow_record(detail.uuid) for detail in details]
        if len(flows) != book.flows or {flow.state for flow in flows} - _ENDED:
            return False
        if max(flow.updated_at or flow.created_at for flow in flows) > book.ended:
            return False
        connection.destroy_logbook(book.uuid)
    except exc.NotFound:
        return False
    return True
