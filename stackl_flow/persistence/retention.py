"""Retention: logbooks whose flows have all finished are deleted after a while.

A logbook is deleted as a whole, with the history of its flows, and only when every flow in it has finished:
a flow that waits, or whose rollback failed, keeps its logbook. The current time is always an argument.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Self

from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.persistence.base import Backend, Connection
from stackl_flow.persistence.models import LogBook
from stackl_flow.persistence.records import FlowRecord

#: The key in a logbook's metadata that holds the UUID of the job it was posted with.
JOB_KEY: Final = "job"

_FAILED: Final = frozenset({st.REVERTED, st.FAILURE})
_FINISHED: Final = _FAILED | {st.SUCCESS}


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long logbooks are kept after their flows have finished.

    Attributes:
        max_age: seconds to keep a logbook after its last flow finished.
        failed_max_age: the same for logbooks with a failed flow; ``math.inf`` keeps them for good, None
            treats them like the others.
        keep_newest: the number of logbooks, those that finished last, that are kept whatever their age.

    Raises:
        ValueError: a value is negative.
    """

    max_age: float = 0.0
    failed_max_age: float | None = None
    keep_newest: int = 0

    def __post_init__(self) -> None:
        if self.max_age < 0 or (self.failed_max_age or 0) < 0 or self.keep_newest < 0:
            raise ValueError(f"the values of a retention policy must not be negative: {self}")

    @classmethod
    def from_value(cls, value: float | Self | None) -> Self | None:
        """Return the policy that an option stands for: a maximum age in seconds, a policy, or None for none.

        Raises:
            TypeError: the value is none of these.
        """
        if value is None or isinstance(value, cls):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return cls(max_age=float(value))
        raise TypeError(f"retention= takes seconds, a RetentionPolicy or None, not {value!r}")

    def is_expired(self, book: FinishedLogBook, now: float) -> bool:
        """Return whether a logbook is older than this policy allows, ``keep_newest`` aside."""
        return now - book.finished_at >= self.max_age_of(failed=book.failed)

    def max_age_of(self, *, failed: bool) -> float:
        """Return how many seconds a logbook is kept, by whether one of its flows failed."""
        return self.failed_max_age if failed and self.failed_max_age is not None else self.max_age

    @property
    def check_interval(self) -> float:
        """Seconds between two checks: a tenth of the shortest age, at least a minute, at most an hour."""
        shortest = min(self.max_age, math.inf if self.failed_max_age is None else self.failed_max_age)
        return min(3600.0, max(60.0, shortest / 10))


@dataclass(frozen=True, slots=True)
class FinishedLogBook:
    """A logbook whose flows have all finished.

    Attributes:
        uuid: UUID of the logbook.
        name: name of the logbook.
        flows: number of its flows.
        finished_at: when the last of them finished, in seconds since the epoch (UTC).
        failed: whether one of them failed.
        job: UUID of the job it was posted with, or None.
    """

    uuid: str
    name: str
    flows: int
    finished_at: float
    failed: bool
    job: str | None


def finished_logbooks(connection: Connection) -> list[FinishedLogBook]:
    """List the logbooks whose flows have all finished, those that finished first at the head.

    This reads the rows of all flows, but no atoms.
    """
    flows: dict[str, list[FlowRecord]] = {}
    for record in connection.list_flow_records(newest_first=False):
        flows.setdefault(record.book_uuid, []).append(record)
    books = {book.uuid: book for book in connection.get_logbooks(lazy=True)}
    finished = (_finished(books[uuid], own) for uuid, own in flows.items() if uuid in books)
    return sorted(
        (book for book in finished if book is not None), key=lambda book: (book.finished_at, book.uuid)
    )


def prune(
    backend: Backend,
    policy: RetentionPolicy,
    now: float,
    applies_to: Callable[[FinishedLogBook], bool] = lambda _: True,
    *,
    dry_run: bool = False,
) -> Iterator[FinishedLogBook]:
    """Delete the logbooks that are older than a policy allows.

    Args:
        backend: where they are stored.
        policy: how long logbooks are kept.
        now: the current time, in seconds since the epoch (UTC).
        applies_to: returns whether the policy applies to a logbook; others are neither counted nor deleted.
        dry_run: delete nothing, and yield what would be deleted.

    Yields:
        Each logbook after it was deleted.

    Raises:
        StorageFailure: the backend cannot be used.
    """
    with backend.get_connection() as connection:
        books = [book for book in finished_logbooks(connection) if applies_to(book)]
        for book in books[: max(0, len(books) - policy.keep_newest)]:
            if policy.is_expired(book, now) and (dry_run or _delete(connection, book)):
                yield book


def _finished(book: LogBook, flows: list[FlowRecord]) -> FinishedLogBook | None:
    states = {record.state for record in flows}
    if not states <= _FINISHED:
        return None
    last = max(record.updated_at or record.created_at for record in flows)
    return FinishedLogBook(
        book.uuid, book.name, len(flows), last, bool(states & _FAILED), book.meta.get(JOB_KEY)
    )


def _delete(connection: Connection, book: FinishedLogBook) -> bool:
    """Delete a logbook, unless it was deleted, or one of its flows was started again, since it was read."""
    try:
        details = connection.get_flows_for_book(book.uuid, lazy=True)
        flows = [connection.get_flow_record(detail.uuid) for detail in details]
        if len(flows) != book.flows or {flow.state for flow in flows} - _FINISHED:
            return False
        if max(flow.updated_at or flow.created_at for flow in flows) > book.finished_at:
            return False
        connection.destroy_logbook(book.uuid)
    except exc.NotFound:
        return False
    return True
