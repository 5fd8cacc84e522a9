"""The part of the persistence contract that is about removing books by a rule."""

from __future__ import annotations

import math

import pytest

from stackl_flow import states as st
from stackl_flow.persistence import models, retention
from stackl_flow.persistence.base import Backend
from stackl_flow.persistence.retention import RetentionPolicy


def kept_book(backend: Backend, name: str, *states: str, job: str | None = None) -> str:
    """Store a book with flows in some states.

    Args:
        backend: where.
        name: the book's name.
        states: a flow for each.
        job: the job that it was posted with.

    Returns:
        The book's uuid.
    """
    book = models.LogBook(name)
    book.meta = {} if job is None else {retention.JOB_KEY: job}
    for state in states:
        flow = models.FlowDetail(f"flow {state}", models.new_uuid())
        flow.state = state
        flow.add(models.TaskDetail("t", models.new_uuid()))
        book.add(flow)
    with backend.get_connection() as connection:
        connection.save_logbook(book)
        for flow in book:
            connection.take_ownership(flow.uuid, "me", connection.get_flow_record(flow.uuid).created_at)
    return book.uuid


def left(backend: Backend) -> set[str]:
    """List the names of the books that are there.

    Args:
        backend: where.

    Returns:
        The names.
    """
    with backend.get_connection() as connection:
        return {book.name for book in connection.get_logbooks(lazy=True)}


class PruningContract:
    """What holds for books that are removed by a rule."""

    @pytest.fixture
    def backend(self) -> Backend:
        """Give an empty backend, upgraded; the subclass has to bring it."""
        raise NotImplementedError("a subclass of the contract brings its own backend fixture")

    @pytest.fixture
    def last(self, backend: Backend) -> float:
        """Store books of every kind, and say when the last of them ended."""
        kept_book(backend, "done", st.SUCCESS, job="a job")
        kept_book(backend, "undone", st.REVERTED)
        kept_book(backend, "both", st.SUCCESS, st.FAILURE)
        kept_book(backend, "half", st.SUCCESS, st.RUNNING)
        kept_book(backend, "parked", st.REVERT_FAILURE)
        kept_book(backend, "waiting", st.PENDING)
        kept_book(backend, "paused", st.SUSPENDED)
        with backend.get_connection() as connection:
            return max(book.finished_at for book in retention.finished_logbooks(connection))

    def test_books_whose_flows_have_ended_are_told(self, backend: Backend, last: float) -> None:
        """No other book is listed; each says whether it failed, and what it was posted with."""
        with backend.get_connection() as connection:
            books = retention.finished_logbooks(connection)
        told = {book.name: (book.flows, book.failed, book.job) for book in books}
        assert told == {"done": (1, False, "a job"), "undone": (1, True, None), "both": (2, True, None)}
        assert [book.finished_at for book in books] == sorted(book.finished_at for book in books)
        assert books[-1].finished_at == last

    def test_a_book_is_kept_for_its_time(self, backend: Backend, last: float) -> None:
        """Before its time nothing goes; then the book goes with all that is in it."""
        assert list(retention.prune(backend, RetentionPolicy(60.0), last)) == []
        gone = list(retention.prune(backend, RetentionPolicy(60.0), last + 60.0))
        assert {book.name for book in gone} == {"done", "undone", "both"}
        assert left(backend) == {"half", "parked", "waiting", "paused"}
        with backend.get_connection() as connection:
            assert len(connection.list_flow_records()) == 5

    def test_nothing_goes_when_it_is_only_asked(self, backend: Backend, last: float) -> None:
        """A dry run tells what would go."""
        told = retention.prune(backend, RetentionPolicy(), last, dry_run=True)
        assert {book.name for book in told} == {"done", "undone", "both"}
        assert len(left(backend)) == 7

    def test_failed_ones_may_be_kept_longer(self, backend: Backend, last: float) -> None:
        """For a time of their own, or for ever."""
        gone = retention.prune(backend, RetentionPolicy(60.0, failed_max_age=math.inf), last + 1e9)
        assert [book.name for book in gone] == ["done"]
        gone = retention.prune(backend, RetentionPolicy(0.0, failed_max_age=100.0), last + 99.0)
        assert list(gone) == []
        assert {
            book.name
            for book in retention.prune(backend, RetentionPolicy(0.0, failed_max_age=100.0), last + 100.0)
        } == {
            "undone",
            "both",
        }

    def test_the_newest_may_be_kept(self, backend: Backend, last: float) -> None:
        """Of those that are meant, so many stay."""
        with backend.get_connection() as connection:
            names = [book.name for book in retention.finished_logbooks(connection)]
        gone = [book.name for book in retention.prune(backend, RetentionPolicy(keep_newest=2), last)]
        assert gone == names[:1]
        assert list(retention.prune(backend, RetentionPolicy(keep_newest=2), last)) == []

    def test_only_some_may_be_meant(self, backend: Backend, last: float) -> None:
        """A rule may be for books of jobs alone."""
        gone = list(retention.prune(backend, RetentionPolicy(), last, lambda book: book.job is not None))
        assert [(book.name, book.job) for book in gone] == [("done", "a job")]

    def test_a_book_that_was_taken_up_meanwhile_stays(self, backend: Backend, last: float) -> None:
        """Whoever begins a flow anew between the look and the removal keeps it."""
        pruned = retention.prune(backend, RetentionPolicy(), last + 5.0, lambda book: book.name != "done")
        first = next(pruned)
        with backend.get_connection() as connection:
            (other,) = [
                book
                for book in retention.finished_logbooks(connection)
                if book.name not in {"done", first.name}
            ]
            for flow in connection.get_flows_for_book(other.uuid):
                connection.take_ownership(flow.uuid, "somebody", last + 4.0)
        assert list(pruned) == []
        assert {"done", other.name} <= left(backend)
