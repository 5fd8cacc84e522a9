"""The part of a board's contract that is about which jobs there are, in which order, and on what terms."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.clock import Clock
from stackl_flow.coordination.membership import Entity
from stackl_flow.jobboards import backends
from stackl_flow.jobboards.base import JobBoard
from stackl_flow.jobboards.job import JobPriority

#: Seconds; what a test waits for comes much sooner.
LONG = 20.0


class OrderContract:
    """Posting, order, terms."""

    clock: Clock

    def pass_time(self, seconds: float) -> None:
        """Let time pass for the board."""
        time.sleep(seconds)  # a board that goes by a stepped clock has it stepped instead

    def test_the_urgent_first_then_the_old(self, board: JobBoard, other: JobBoard) -> None:
        """Higher priority comes first, the oldest first within one, whether claimed or not."""
        for name, priority in (
            ("a", "NORMAL"),
            ("b", "very_low"),
            ("c", JobPriority.HIGH),
            ("d", "NORMAL"),
            ("e", "HIGH"),
        ):
            board.post(name, priority=priority)
            self.pass_time(0.001)
        assert [job.name for job in other.iterjobs()] == ["c", "e", "a", "d", "b"]
        other.claim(next(other.iterjobs()), "me")
        assert [job.name for job in board.iterjobs(only_unclaimed=True)] == ["e", "a", "d", "b"]
        assert [job.name for job in board.iterjobs()] == ["c", "e", "a", "d", "b"]
        assert board.job_count == 5

    def test_what_was_posted_is_what_is_read(self, board: JobBoard, other: JobBoard) -> None:
        """Details, name, priority and times come back as they were given."""
        details = {"store": {"x": 1, "y": [None, "é"]}, "factory": "m:f"}
        posted = board.post("näme", details=details, priority="LOW")
        (read,) = other.iterjobs()
        assert (read.uuid, read.name, read.details) == (posted.uuid, "näme", details)
        assert (read.priority, read.book, read.book_uuid) == (JobPriority.LOW, None, None)
        assert read.created_on == posted.created_on == read.last_modified
        assert read.created_on.timestamp() == pytest.approx(self.clock.now(), abs=60)

    def test_details_that_are_no_json(self, board: JobBoard) -> None:
        """Such a job is refused by name, and nothing is posted."""
        with pytest.raises(exc.NotSerializable, match=r"details of job 'bad'.*object"):
            board.post("bad", details={"x": object()})
        assert board.job_count == 0

    def test_an_unknown_priority_or_term(self, board: JobBoard) -> None:
        """A misspelt word is refused with those that are known."""
        with pytest.raises(ValueError, match="VERY_HIGH, HIGH"):
            board.post("bad", priority="URGENT")
        with pytest.raises(TypeError, match="not_before"):
            board.post("bad", not_befor=1)
        assert board.job_count == 0

    def test_a_key_posts_once(self, board: JobBoard, other: JobBoard) -> None:
        """A second post under a key gives the first job, also after it has ended."""
        first = board.post("one", key="order 7/ä")
        assert other.post("two", key="order 7/ä").uuid == first.uuid
        board.claim(first, "me")
        assert other.post("three", key="order 7/ä").uuid == first.uuid
        board.consume(first, "me")
        again = other.post("four", key="order 7/ä")
        assert (again.uuid, again.state, board.job_count) == (first.uuid, st.COMPLETE, 0)

    def test_needs_are_met_by_those_who_can(self, board: JobBoard) -> None:
        """Who says what he can do is shown only what he can do; a job he cannot do holds nothing up."""
        for index in range(100):
            board.post(f"gpu {index}", needs=["gpu"], priority="HIGH")
            self.pass_time(0.0001)
        board.post("both", needs=["gpu", "eu"])
        self.pass_time(0.0001)
        board.post("any")
        assert [job.name for job in board.iterjobs(only_unclaimed=True, can=[])] == ["any"]
        assert [job.name for job in board.wait(LONG, can=["eu", "disk"])] == ["any"]
        able = [job.name for job in board.iterjobs(only_unclaimed=True, can={"gpu", "eu"})]
        assert able[:2] == ["gpu 0", "gpu 1"]
        assert able[-2:] == ["both", "any"]

    def test_a_job_that_is_not_to_run_yet(self, board: JobBoard, other: JobBoard) -> None:
        """It is on the board, cannot be claimed, and waits for nobody's poll when its time has come."""
        job = board.post("later", not_before=self.clock.now() + 0.4)
        assert [each.name for each in other.iterjobs()] == ["later"]
        assert list(other.iterjobs(only_unclaimed=True)) == []
        with pytest.raises(exc.UnclaimableJob, match="not to run yet"):
            board.claim(job, "me")
        self.pass_time(0.5)
        other.claim(next(other.wait(LONG)), "you")
        assert job.state == st.CLAIMED

    def test_a_job_that_nobody_claims_in_time(self, board: JobBoard, other: JobBoard) -> None:
        """It goes to the bin; one that was claimed in time is left alone."""
        late = board.post("late", claim_by=self.clock.now() + 0.4)
        taken = board.post("taken", claim_by=self.clock.now() + 0.4)
        board.claim(taken, "me")
        self.pass_time(0.5)
        assert [job.name for job in other.iterjobs()] == ["taken"]
        with pytest.raises(exc.JobFailure, match="nobody claimed it in time"):
            late.result(LONG)

    def test_waiting_ends_with_a_post(self, board: JobBoard, other: JobBoard) -> None:
        """Who waits is woken by a post, and gets nothing when the time is over."""
        assert list(other.wait(0.05)) == []
        posting = threading.Timer(0.1, board.post, ("one",))
        posting.start()
        assert [job.name for job in other.wait(LONG)] == ["one"]
        posting.join()

    def test_outcomes_are_forgotten_in_time(self, open_board: Callable[..., JobBoard]) -> None:
        """After the time that is set nothing is known of an ended job, and its key is free."""
        with open_board(keep_outcomes=0.2) as board:
            job = board.post("one", key="k")
            board.claim(job, "me")
            board.consume(job, "me")
            self.pass_time(0.3)
            list(board.iterjobs())
            with pytest.raises(exc.NotFound, match="forgotten"):
                job.wait(0)
            assert board.post("two", key="k").uuid != job.uuid

    def test_a_job_that_was_never_here(self, board: JobBoard) -> None:
        """Looking for it says so."""
        with pytest.raises(exc.NotFound, match="no job 'nobody' on board 'contract'"):
            board.look("nobody")

    def test_boards_of_one_place_are_apart(self, board: JobBoard, address: str) -> None:
        """Another name is another board."""
        board.post("one")
        with backends.fetch("contract 2", address, clock=self.clock) as apart:
            assert list(apart.iterjobs()) == []

    def test_who_is_here(self, board: JobBoard) -> None:
        """Somebody can say that he is here, again and again."""
        for _ in range(2):
            board.register_entity(Entity("conductor", "c/1", {"host": "h"}))
        assert board.presence.here() == [Entity("conductor", "c/1", {"host": "h"})]
        board.presence.drain("c/1")
        assert board.presence.is_drained("c/1")
        board.register_entity(Entity("conductor", "c/1"))
        assert not board.presence.is_drained("c/1")
        with pytest.raises(exc.NotFound, match=r"nobody called 'c/2'.*c/1"):
            board.presence.drain("c/2")
