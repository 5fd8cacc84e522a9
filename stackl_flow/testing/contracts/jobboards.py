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
from stackl_flow.coordination.membership import Entity
from stackl_flow.failure import Failure
from stackl_flow.jobboards import backends
from stackl_flow.jobboards.base import Completion, Job, JobBoard
from stackl_flow.jobboards.record import JobPriority
from stackl_flow.testing.crash import in_child

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
            board.post(f"gpu {index}", required_capabilities=["gpu"], priority="HIGH")
            self.pass_time(0.0001)
        board.post("both", required_capabilities=["gpu", "eu"])
        self.pass_time(0.0001)
        board.post("any")
        assert [job.name for job in board.iterjobs(only_unclaimed=True, capabilities=[])] == ["any"]
        assert [job.name for job in board.wait(LONG, capabilities=["eu", "disk"])] == ["any"]
        able = [job.name for job in board.iterjobs(only_unclaimed=True, capabilities={"gpu", "eu"})]
        assert able[:2] == ["gpu 0", "gpu 1"]
        assert able[-2:] == ["both", "any"]

    def test_a_job_that_is_not_to_run_yet(self, board: JobBoard, other: JobBoard) -> None:
        """It is on the board, cannot be claimed, and waits for nobody's poll when its time has come."""
        job = board.post("later", not_before=self.clock.now() + 0.4)
        assert [each.name for each in other.iterjobs()] == ["later"]
        assert list(other.iterjobs(only_unclaimed=True)) == []
        with pytest.raises(exc.UnclaimableJob, match="scheduled for later"):
            board.claim(job, "me")
        self.pass_time(0.5)
        other.claim(next(other.wait(LONG)), "you")
        assert job.state == st.CLAIMED

    def test_a_job_that_nobody_claims_in_time(self, board: JobBoard, other: JobBoard) -> None:
        """It goes to the bin; one that was claimed in time is left alone."""
        late = board.post("late", expires_at=self.clock.now() + 0.4)
        taken = board.post("taken", expires_at=self.clock.now() + 0.4)
        board.claim(taken, "me")
        self.pass_time(0.5)
        assert [job.name for job in other.iterjobs()] == ["taken"]
        with pytest.raises(exc.JobFailure, match="not claimed before it expired"):
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
        with open_board(outcome_retention=0.2) as board:
            job = board.post("one", key="k")
            board.claim(job, "me")
            board.consume(job, "me")
            self.pass_time(0.3)
            list(board.iterjobs())
            with pytest.raises(exc.NotFound, match="expired"):
                job.wait(0)
            assert board.post("two", key="k").uuid != job.uuid

    def test_a_job_that_was_never_here(self, board: JobBoard) -> None:
        """Looking for it says so."""
        with pytest.raises(exc.NotFound, match="no job 'nobody' on board 'contract'"):
            board.get_snapshot("nobody")

    def test_boards_of_one_place_are_apart(self, board: JobBoard, address: str) -> None:
        """Another name is another board."""
        board.post("one")
        with backends.fetch("contract 2", address, clock=self.clock) as apart:
            assert list(apart.iterjobs()) == []

    def test_who_is_here(self, board: JobBoard) -> None:
        """Somebody can say that he is here, again and again."""
        for _ in range(2):
            board.register_entity(Entity("conductor", "c/1", {"host": "h"}))
        assert board.membership.members() == [Entity("conductor", "c/1", {"host": "h"})]
        board.membership.request_drain("c/1")
        assert board.membership.is_drain_requested("c/1")
        board.register_entity(Entity("conductor", "c/1"))
        assert not board.membership.is_drain_requested("c/1")
        with pytest.raises(exc.NotFound, match=r"no member 'c/2'.*c/1"):
            board.membership.request_drain("c/2")


def names(jobs: tuple[Job, ...]) -> list[str]:
    """Say what jobs are called."""
    return [job.name for job in jobs]


class TurnContract:
    """Working in turns."""

    def test_a_turn_ends_claims_and_makes_new_ones(self, board: JobBoard, other: JobBoard) -> None:
        """What was claimed ends as is said; the first of what waits is claimed, in its order."""
        for name, priority in (("d", "LOW"), ("a", "VERY_HIGH"), ("b", "HIGH"), ("c", "NORMAL")):
            board.post(name, priority=priority)
        first = other.complete_and_claim("me", limit=2)
        assert names(first.jobs) == ["a", "b"]
        assert [other.find_owner(job) for job in first.jobs] == ["me", "me"]
        done, bad = first.jobs
        ends = [
            Completion(done, "consumed", {"result": 7}),
            Completion(bad, "trashed", {"reason": "no such site"}),
        ]
        second = other.complete_and_claim("me", ends, limit=5)
        assert (names(second.jobs), second.rejected) == (["c", "d"], ())
        assert (done.result(0), done.state, bad.state) == (7, st.COMPLETE, st.COMPLETE)
        assert [posting.reason for posting in board.dead_letters] == ["no such site"]
        assert (
            other.complete_and_claim("me", [Completion(job, "consumed") for job in second.jobs], limit=5).jobs
            == ()
        )
        assert board.job_count == 0

    def test_what_is_given_back_in_a_turn_waits_again(self, board: JobBoard) -> None:
        """An unbegun job shows no trace of the claim, the others say how theirs ended."""
        for name in ("a", "b", "c"):
            board.post(name)
        jobs = board.complete_and_claim("me", limit=3).jobs
        hows = ("abandoned", "released", "unstarted")
        board.complete_and_claim("me", [Completion(job, how) for job, how in zip(jobs, hows, strict=True)])
        ended = [[claim.ended for claim in job.claims] for job in board.iterjobs(only_unclaimed=True)]
        assert sorted(ended) == [[], ["abandoned"], ["released"]]
        with pytest.raises(exc.JobFailure, match="it is not claimed"):
            board.consume(jobs[2], "me")

    def test_ends_that_come_too_late_do_not_harm_the_others(self, board: JobBoard, other: JobBoard) -> None:
        """A claim that is not there any more is told of; what else is in the turn lands."""
        for name in ("a", "b", "c"):
            board.post(name)
        board.post("d", priority="LOW")
        lost, done, gone = board.complete_and_claim("me", limit=3).jobs
        theirs = next(job for job in other.iterjobs() if job.uuid == lost.uuid)
        other.abandon(theirs, "me")
        other.claim(theirs, "you")
        other.consume(next(job for job in other.iterjobs() if job.uuid == gone.uuid), "me")
        turn = board.complete_and_claim(
            "me", [Completion(job, "consumed") for job in (lost, done, gone)], limit=1
        )
        assert {late.completion.job.uuid: type(late.error) for late in turn.rejected} == {
            lost.uuid: exc.JobFailure,
            gone.uuid: exc.NotFound,
        }
        assert (done.state, names(turn.jobs)) == (st.COMPLETE, ["d"])
        assert other.find_owner(theirs) == "you"

    def test_a_turn_of_more_than_one_commit_takes(self, board: JobBoard) -> None:
        """Ends are spread over as many commits as they need; no more is claimed than fits one."""
        posted = {board.post(f"job {number}", details={"n": number}).uuid for number in range(60)}
        claimed: list[Job] = []
        while turn := board.complete_and_claim("me", limit=100).jobs:
            claimed += turn
        assert (len(claimed), {job.uuid for job in claimed}) == (60, posted)
        assert board.complete_and_claim("me", [Completion(job, "consumed") for job in claimed]).rejected == ()
        assert board.job_count == 0

    def test_those_who_turn_at_once_never_get_the_same(self, open_board: Callable[..., JobBoard]) -> None:
        """Of several who take many jobs at once each gets others, and all jobs are done."""
        done: list[str] = []

        def work(who: str) -> None:
            with open_board() as board:
                ends: list[Completion] = []
                while True:
                    turn = board.complete_and_claim(who, ends, limit=7)
                    assert turn.rejected == ()
                    ends = [Completion(job, "consumed") for job in turn.jobs]
                    done.extend(names(turn.jobs))
                    if not ends and next(board.iterjobs(only_unclaimed=True), None) is None:
                        return

        with open_board() as board:
            for number in range(40):
                board.post(str(number))
            threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(done, key=int) == [str(number) for number in range(40)]
            assert board.job_count == 0

    def test_outcomes_of_one_turn_are_forgotten_in_time(self, open_board: Callable[..., JobBoard]) -> None:
        """What ended together is known together, and forgotten together; the keys are free then."""
        with open_board(outcome_retention=0.2) as board:
            posted = [board.post(name, key=f"key {name}") for name in ("a", "b", "c")]
            jobs = board.complete_and_claim("me", limit=3).jobs
            board.complete_and_claim(
                "me", [Completion(job, "consumed", {"result": job.name}) for job in jobs]
            )
            assert [job.result(0) for job in posted] == ["a", "b", "c"]
            self.pass_time(0.3)
            list(board.iterjobs())
            for job in posted:
                with pytest.raises(exc.NotFound, match="expired"):
                    job.wait(0)
            assert board.post("a", key="key a").uuid != posted[0].uuid

    def pass_time(self, seconds: float) -> None:
        """Let time pass for the board."""
        raise NotImplementedError("the whole contract says how")

    def test_a_turn_takes_what_one_can_do_and_waits_for_it(self, board: JobBoard, other: JobBoard) -> None:
        """Jobs that need what one cannot are left; who has nothing to tell waits for work."""
        board.post("gpu", required_capabilities=["gpu"])
        assert other.complete_and_claim("me", limit=3, capabilities=[], timeout=0.05).jobs == ()
        posting = threading.Timer(0.1, board.post, ("plain",))
        posting.start()
        assert names(other.complete_and_claim("me", limit=3, capabilities=[], timeout=LONG).jobs) == ["plain"]
        assert names(other.complete_and_claim("me", limit=3, capabilities=["gpu"]).jobs) == ["gpu"]
        posting.join()

    def test_a_job_that_may_have_killed_its_worker_is_claimed_alone(
        self, board: JobBoard, open_board: Callable[..., JobBoard]
    ) -> None:
        """One whose last claim was lost comes by itself, so that it takes no others along."""
        board.post("a", priority="HIGH")
        lost = board.post("lost")
        board.post("z", priority="LOW")
        self.die(open_board, lost.uuid, "dead")
        taken = [names(board.complete_and_claim("me", limit=5, timeout=LONG).jobs) for _ in range(3)]
        assert taken == [["a"], ["lost"], ["z"]]

    def die(self, open_board: Callable[..., JobBoard], uuid: str, who: str) -> None:
        """Have somebody claim a job and die, and wait until his lease has run out."""
        raise NotImplementedError("the whole contract says how")

    def test_a_turn_is_told_to_those_who_listen(self, board: JobBoard, other: JobBoard) -> None:
        """Each end and each claim of a turn is news of its own."""
        heard: list[tuple[str, str]] = []
        done = threading.Event()

        def hear(event: str, details: dict[str, Any]) -> None:
            heard.append((event, details["job"].name))
            if details["job"].name == "last":
                done.set()

        for name, priority in (("a", "HIGH"), ("b", "LOW")):
            board.post(name, priority=priority)
        jobs = board.complete_and_claim("me", limit=2).jobs
        other.notifier.register("*", hear)
        board.complete_and_claim("me", [Completion(job, "consumed") for job in jobs])
        board.post("last")
        assert done.wait(LONG)
        assert heard == [("REMOVAL", "a"), ("REMOVAL", "b"), ("POSTED", "last")]


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
            with pytest.raises(exc.JobFailure, match="it is not claimed"):
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
        assert [(claim.owner, claim.ended) for claim in taken.claims] == [("me", "abandoned"), ("you", "")]
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
        assert [(claim.owner, claim.ended) for claim in taken.claims] == [("dead", "lost"), ("me", "")]
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
        (kept,) = board.dead_letters
        assert [claim.owner for claim in kept.claims] == ["first", "second"]
        assert "claimed 2 times without an end" in kept.reason
        with pytest.raises(exc.JobFailure, match="trashed: claimed 2 times"):
            job.result(LONG)
        board.dead_letters.requeue(job.uuid)
        assert [each.claims for each in board.iterjobs(only_unclaimed=True)] == [()]
        assert list(board.dead_letters) == []

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
        assert [(each.name, each.reason, each.details) for each in board.dead_letters] == [
            ("bad", "no such factory", {"a": 1})
        ]
        with pytest.raises(exc.JobFailure, match="was trashed: no such factory"):
            job.result(LONG)
        board.dead_letters.discard(job.uuid)
        for order in (board.dead_letters.requeue, board.dead_letters.discard):
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
