"""A job: what was posted, and how to ask the board about it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.failure import Failure
from stackl_flow.jobboards import moves as m
from stackl_flow.jobboards.posting import Claim, Posting
from stackl_flow.jobboards.priorities import JobPriority

if TYPE_CHECKING:
    from stackl_flow.jobboards.base import JobBoard

_STATES = {
    m.WAITING: st.UNCLAIMED,
    m.LATER: st.UNCLAIMED,
    m.CLAIMED: st.CLAIMED,
    m.CONSUMED: st.COMPLETE,
    m.TRASHED: st.COMPLETE,
}


class Books(Protocol):
    """Where logbooks are: a persistence backend."""

    def get_connection(self) -> Any:
        """Make a connection to it."""
        ...


class Job:
    """One job on a board.

    Args:
        board: where it is.
        posting: what was posted.
        version: the version of the board's item it was read from.
        books: where its logbook is.
    """

    def __init__(self, board: JobBoard, posting: Posting, version: int, books: Books | None = None) -> None:
        self.board = board
        self.posting = posting
        self.version = version
        #: Fencing number of the claim made through this object; 0 if there was none.
        self.fence = 0
        self._books = books
        self._book: Any = None

    @property
    def uuid(self) -> str:
        """Its own name, unique on the board."""
        return self.posting.uuid

    @property
    def name(self) -> str:
        """What it is called."""
        return self.posting.name

    @property
    def details(self) -> Mapping[str, Any]:
        """What workers need to know."""
        return self.posting.details

    @property
    def priority(self) -> JobPriority:
        """How urgent it is."""
        return self.posting.priority

    @property
    def created_on(self) -> dt.datetime:
        """When it was posted, in UTC."""
        return dt.datetime.fromtimestamp(self.posting.created_on, dt.UTC)

    @property
    def last_modified(self) -> dt.datetime:
        """When it was last posted, claimed or abandoned, as far as this object knows, in UTC."""
        return dt.datetime.fromtimestamp(self.posting.changed_on, dt.UTC)

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Every claim of it, as far as this object knows, the latest last."""
        return self.posting.claims

    @property
    def state(self) -> str:
        """UNCLAIMED, CLAIMED or COMPLETE, asked of the board now.

        Raises:
            NotFound: it ended, and its outcome has been forgotten.
        """
        return _STATES[self.board.look(self).head]

    @property
    def book_uuid(self) -> str | None:
        """The uuid of its logbook, or None."""
        return self.posting.book.get("uuid")

    @property
    def book_name(self) -> str | None:
        """The name of its logbook, or None."""
        return self.posting.book.get("name")

    @property
    def book(self) -> Any:
        """Its logbook, read when it is first asked for; None if it has none or nobody knows where it is.

        Raises:
            NotFound: the persistence has no such logbook.
            StorageFailure: it cannot be read.
        """
        if self._book is None and self._books is not None and self.book_uuid is not None:
            with self._books.get_connection() as connection:
                self._book = connection.get_logbook(self.book_uuid)
        return self._book

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the job has ended; the board wakes us, nothing is polled.

        Args:
            timeout: how many seconds to wait at most; None for ever.

        Returns:
            False if the time was over first.

        Raises:
            NotFound: it ended so long ago that this has been forgotten.
        """
        return self.board.wait_for(self, timeout) is not None

    def result(self, timeout: float | None = None) -> Any:
        """Wait for what came of the job.

        Args:
            timeout: how many seconds to wait at most; None for ever.

        Returns:
            What its worker gave: of a conductor's job the values that its flow provided, by name.

        Raises:
            JobFailure: it was trashed, or it did not end in time.
            Exception: what made its flow fail.
        """
        found = self.board.wait_for(self, timeout)
        if found is None:
            raise exc.JobFailure(f"job '{self.name}' ({self.uuid}) has not ended within {timeout} s")
        outcome: dict[str, Any] = (found.outcome or {}).get("outcome", {})
        if found.head == m.TRASHED:
            raise exc.JobFailure(f"job '{self.name}' ({self.uuid}) was trashed: {outcome.get('reason')}")
        if outcome.get("failure") is not None:
            Failure.from_dict(outcome["failure"]).reraise()
        return outcome.get("result")

    def __repr__(self) -> str:
        """Show what helps in a log."""
        return f"<Job {self.name} {self.priority.value} {self.uuid}>"
