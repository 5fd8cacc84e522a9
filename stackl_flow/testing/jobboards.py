"""What every board has to do, as tests to be inherited.

A board is done when this passes::

    class TestMine(JobBoardContract):
        @pytest.fixture
        def address(self, tmp_path):
            return f"mine://{tmp_path}"

Where leases go by a clock that is passed in, and within one process, a ``SteppedClock`` and a ``die`` of its
own save the waiting.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.clock import SYSTEM, Clock
from stackl_flow.failure import Failure
from stackl_flow.jobboards import backends
from stackl_flow.jobboards.base import JobBoard
from stackl_flow.testing.crash import in_child
from stackl_flow.testing.jobboard_orders import OrderContract
from stackl_flow.testing.jobboard_turns import TurnContract

#: Seconds; what a test waits for comes much sooner.
LONG = 20.0


class ClaimContract:
    """What holds for claims and their ends."""

    def test_a_job_is_claimed_once(self, board: JobBoard, other: JobBoard) -> None:
        """Of two who want a job one gets it; the other is told who has it."""
        job = board.post("one")
        assert (job.state, board.find_owner(job)) == (st.UNCLAIMED, None)
        theirs = next(other.iterjobs())
        board.claim(job, "me")
        assert (job.state, other.find_owner(theirs)) == (st.CLAIMED, "me")
        with pytest.raises(exc.UnclaimableJob, match="already claimed by 'me'"):
            other.claim(theirs, "you")
        with pytest.raises(exc.UnclaimableJob):
            board.claim(job, "me")
        assert list(other.iterjobs(only_unclaimed=True)) == []
        assert [each.uuid for each in other.iterjobs()] == [job.uuid]

    def test_only_the_owner_ends_a_claim(self, board: JobBoard, other: JobBoard) -> None:
        """Nobody else may consume, abandon, trash or extend."""
        job = board.post("one")
        board.claim(job, "me")
        theirs = next(other.iterjobs())
        for order in (other.consume, other.abandon, other.trash, other.extend):
            with pytest.raises(exc.JobFailure, match=r"'you' does not own.*'me' claims it"):
                order(theirs, "you")
        board.extend(job, "me")
        board.consume(job, "me")
        assert (job.state, board.job_count) == (st.COMPLETE, 0)

    def test_nothing_is_done_with_a_job_that_nobody_claims(self, board: JobBoard) -> None:
        """A job has to be claimed before it is ended."""
        job = board.post("one")
        for order in (board.consume, board.abandon, board.trash):
            with pytest.raises(exc.JobFailure, match="nobody claims it"):
                order(job, "me")

    def test_a_claimer_has_a_name(self, board: JobBoard) -> None:
        """An empty name, or one that is no text, is refused before anything is written."""
        job = board.post("one")
        with pytest.raises(ValueError, match="name"):
            board.claim(job, "")
        with pytest.raises(TypeError, match="int"):
            board.claim(job, 5)  # type: ignore[arg-type]
        assert job.state == st.UNCLAIMED

    def test_an_abandoned_job_is_free_again(self, board: JobBoard, other: JobBoard) -> None:
        """Given back, it can be claimed by others, and remembers who had it."""
        job = board.post("one")
        board.claim(job, "me")
        board.abandon(job, "me")
        taken = other.claim(next(other.iterjobs(only_unclaimed=True)), "you")
        assert [(claim.who, claim.ended) for claim in taken.claims] == [("me", "abandoned"), ("you", "")]
        with pytest.raises(exc.JobFailure):
            board.consume(job, "me")
        other.consume(taken, "you")

    def test_what_has_ended_is_off_the_board(self, board: JobBoard, other: JobBoard) -> None:
        """A consumed job cannot be claimed, found as owned, or ended again."""
        job = board.post("one")
        theirs = next(other.iterjobs())
        board.claim(job, "me")
        board.consume(job, "me")
        with pytest.raises(exc.NotFound, match="off the board: it was consumed"):
            other.claim(theirs, "you")
        with pytest.raises(exc.NotFound):
            board.consume(job, "me")
        with pytest.raises(exc.NotFound):
            board.find_owner(job)


class JobBoardContract(ClaimContract, OrderContract, TurnContract):
    """The whole contract: jobs, their order and terms, claims, turns, and here what happens to the owners."""

    #: Seconds a claim outlives its owner.
    ttl = 1.0
    clock: Clock = SYSTEM
    settings: dict[str, Any] = {}  # noqa: RUF012  a subclass brings its own

    @pytest.fixture
    def address(self) -> str:
        """Give the address of an empty place."""
        raise NotImplementedError("a subclass of the contract brings its own address fixture")

    @pytest.fixture
    def open_board(self, address: str) -> Callable[..., JobBoard]:
        """Give a function that opens the board, always the same."""

        def open_it(**conf: Any) -> JobBoard:
            settings = {"board": address, "ttl": self.ttl, **self.settings, **conf}
            return backends.fetch("contract", settings, clock=self.clock)

        return open_it

    @pytest.fixture
    def board(self, open_board: Callable[..., JobBoard]) -> Iterator[JobBoard]:
        """Open the board."""
        with open_board() as board:
            yield board

    @pytest.fixture
    def other(self, open_board: Callable[..., JobBoard]) -> Iterator[JobBoard]:
        """Open it once more, as another process would."""
        with open_board() as board:
            yield board

    def die(self, open_board: Callable[..., JobBoard], uuid: str, who: str) -> None:
        """Have somebody claim a job and die, and wait until his lease has run out."""

        def work() -> None:
            board = open_board()
            board.connect()
            board.claim(next(job for job in board.iterjobs() if job.uuid == uuid), who)
            os.kill(os.getpid(), signal.SIGKILL)

        assert in_child(work) == -signal.SIGKILL
        time.sleep(self.ttl + 0.1)  # the server's clock is not ours to step

    # ------------------------------------------------------------- dying

    def test_the_job_of_a_dead_owner_is_free(
        self, board: JobBoard, open_board: Callable[..., JobBoard]
    ) -> None:
        """When a lease has run out the job waits again; the history says what happened."""
        job = board.post("one")
        self.die(open_board, job.uuid, "dead")
        taken = board.claim(next(board.wait(LONG)), "me")
        assert [(claim.who, claim.ended) for claim in taken.claims] == [("dead", "lost"), ("me", "")]
        board.consume(taken, "me")

    def test_a_job_that_kills_its_workers_is_quarantined(
        self, board: JobBoard, open_board: Callable[..., JobBoard]
    ) -> None:
        """Claimed in vain too often it goes to the bin, with its history; put back, it begins anew."""
        job = board.post("poison")
        with open_board(max_claims=2) as strict:
            for who in ("first", "second"):
                self.die(open_board, job.uuid, who)
                list(strict.iterjobs())
        assert list(board.iterjobs()) == []
        (kept,) = board.bin
        assert [claim.who for claim in kept.claims] == ["first", "second"]
        assert "claimed 2 times without an end" in kept.reason
        with pytest.raises(exc.JobFailure, match="trashed: claimed 2 times"):
            job.result(LONG)
        board.bin.requeue(job.uuid)
        assert [each.claims for each in board.iterjobs(only_unclaimed=True)] == [()]
        assert list(board.bin) == []

    def test_an_orderly_stop_does_not_count(self, open_board: Callable[..., JobBoard]) -> None:
        """A worker that stops gives its jobs back, as often as it likes."""
        with open_board(max_claims=1) as board:
            job = board.post("one")
            for _ in range(3):
                board.claim(job, "me")
                board.abandon(job, "me", counts=False)
            board.claim(job, "me")
            board.abandon(job, "me")
            assert job.state == st.COMPLETE

    def test_leaving_frees_what_was_claimed(
        self, board: JobBoard, open_board: Callable[..., JobBoard]
    ) -> None:
        """A board that is closed gives its claims up at once."""
        board.post("one")
        with open_board() as leaving:
            leaving.claim(next(leaving.iterjobs()), "gone")
        assert next(board.wait(LONG)).claims[-1].ended == "lost"

    # ------------------------------------------------------------- waiting for the end

    def test_the_poster_waits_for_the_result(self, board: JobBoard, other: JobBoard) -> None:
        """What the worker says of the job reaches whoever posted it."""
        job = board.post("one")
        theirs = other.claim(next(other.iterjobs()), "worker")
        assert not job.wait(0.05)
        with pytest.raises(exc.JobFailure, match="has not ended within"):
            job.result(0.05)
        ending = threading.Timer(0.1, other.consume, (theirs, "worker", {"result": {"x": [1, 2]}}))
        ending.start()
        assert job.result(LONG) == {"x": [1, 2]}
        assert job.wait(LONG)
        ending.join()

    def test_the_poster_gets_the_failure(self, board: JobBoard) -> None:
        """A failure is raised where the job was posted."""
        job = board.post("one")
        board.claim(job, "worker")
        failure = Failure.from_exception(ValueError("no such site"))
        board.consume(job, "worker", {"failure": failure.to_dict()})
        with pytest.raises(exc.WrappedFailure, match="no such site"):
            job.result(LONG)

    def test_trash_says_why(self, board: JobBoard) -> None:
        """A trashed job is kept with its reason; waiting for it says so."""
        job = board.post("bad", details={"a": 1})
        board.claim(job, "worker")
        board.trash(job, "worker", "no such factory")
        assert [(each.name, each.reason, each.details) for each in board.bin] == [
            ("bad", "no such factory", {"a": 1})
        ]
        with pytest.raises(exc.JobFailure, match="was trashed: no such factory"):
            job.result(LONG)
        board.bin.discard(job.uuid)
        for order in (board.bin.requeue, board.bin.discard):
            with pytest.raises(exc.NotFound, match="no job"):
                order(job.uuid)

    # ------------------------------------------------------------- news

    def test_news_of_everybody_reach_those_who_listen(self, board: JobBoard, other: JobBoard) -> None:
        """Each post, claim, abandonment and end is told once, in the order of one writer."""
        heard: list[tuple[str, str]] = []
        done = threading.Event()

        def hear(event: str, details: dict[str, Any]) -> None:
            heard.append((event, details["job"].name))
            if event == "REMOVAL":
                done.set()

        other.notifier.register("*", hear)
        job = board.post("one")
        board.claim(job, "me")
        board.abandon(job, "me")
        board.claim(job, "me")
        board.consume(job, "me")
        assert done.wait(LONG)
        wanted = ["POSTED", "CLAIMED", "ABANDONED", "CLAIMED", "REMOVAL"]
        assert heard == [(event, "one") for event in wanted]
