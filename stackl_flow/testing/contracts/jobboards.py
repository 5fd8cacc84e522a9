"""The contract of job boards: a test suite to inherit from.

A board is complete when this passes::

    class TestMine(JobBoardContract):
        @pytest.fixture
        def address(self, tmp_path):
            return f"mine://{tmp_path}"

A board in one process, whose leases follow an injected clock, may override ``clock`` with a ``SteppedClock``
and ``kill_owner`` with a simulation, to avoid waiting.
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
from stackl_flow.jobboards.base import Job, JobBoard, JobCompletion
from stackl_flow.jobboards.record import JobPriority
from stackl_flow.testing.contracts.board_entries import ListingContract, PostManyContract, UnreadableContract
from stackl_flow.testing.crash import in_child

#: Time-out in seconds; what a test waits for happens much sooner.
LONG = 20.0


class QueueContract:
    """Posting, order, job options, membership."""

    clock: Clock

    def pass_time(self, seconds: float) -> None:
        """Let time pass for the board."""
        time.sleep(seconds)  # a board on a stepped clock steps it instead

    def test_order_by_priority_then_age(self, board: JobBoard, other: JobBoard) -> None:
        """Higher priority comes first, oldest first within a priority, whether claimed or not."""
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

    def test_a_job_is_read_as_it_was_posted(self, board: JobBoard, other: JobBoard) -> None:
        """Details, name, priority and times are unchanged."""
        details = {"store": {"x": 1, "y": [None, "é"]}, "factory": "m:f"}
        posted = board.post("näme", details=details, priority="LOW")
        (read,) = other.iterjobs()
        assert (read.uuid, read.name, read.details) == (posted.uuid, "näme", details)
        assert (read.priority, read.book, read.book_uuid) == (JobPriority.LOW, None, None)
        assert read.created_on == posted.created_on == read.last_modified
        assert read.created_on.timestamp() == pytest.approx(self.clock.now(), abs=60)

    def test_details_without_a_json_form(self, board: JobBoard) -> None:
        """The error names the job, and nothing is posted."""
        with pytest.raises(exc.NotSerializable, match=r"details of job 'bad'.*object"):
            board.post("bad", details={"x": object()})
        assert board.job_count == 0

    def test_an_unknown_priority_or_option(self, board: JobBoard) -> None:
        """The error lists the valid ones."""
        with pytest.raises(ValueError, match="VERY_HIGH, HIGH"):
            board.post("bad", priority="URGENT")
        with pytest.raises(TypeError, match="not_before"):
            board.post("bad", not_befor=1)
        assert board.job_count == 0

    def test_an_idempotency_key_posts_once(self, board: JobBoard, other: JobBoard) -> None:
        """Another post under the same key returns the first job, also after it has ended."""
        first = board.post("one", key="order 7/ä")
        assert other.post("two", key="order 7/ä").uuid == first.uuid
        board.claim(first, "me")
        assert other.post("three", key="order 7/ä").uuid == first.uuid
        board.consume(first, "me")
        again = other.post("four", key="order 7/ä")
        assert (again.uuid, again.state, board.job_count) == (first.uuid, st.COMPLETE, 0)

    def test_required_capabilities(self, board: JobBoard) -> None:
        """An owner gets only jobs that it is capable of; other jobs do not block the queue."""
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

    def test_a_scheduled_job(self, board: JobBoard, other: JobBoard) -> None:
        """It is on the board, cannot be claimed, and wakes waiting owners when it is due."""
        job = board.post("later", not_before=self.clock.now() + 0.4)
        assert [each.name for each in other.iterjobs()] == ["later"]
        assert list(other.iterjobs(only_unclaimed=True)) == []
        with pytest.raises(exc.UnclaimableJob, match="scheduled for later"):
            board.claim(job, "me")
        self.pass_time(0.5)
        other.claim(next(other.wait(LONG)), "you")
        assert job.state == st.CLAIMED

    def test_a_job_that_expires(self, board: JobBoard, other: JobBoard) -> None:
        """It becomes a dead letter, unless it was claimed in time."""
        expired = board.post("expired", expires_at=self.clock.now() + 0.4)
        claimed = board.post("claimed", expires_at=self.clock.now() + 0.4)
        board.claim(claimed, "me")
        self.pass_time(0.5)
        assert [job.name for job in other.iterjobs()] == ["claimed"]
        with pytest.raises(exc.JobFailure, match="not claimed before it expired"):
            expired.result(LONG)

    def test_waiting_ends_with_a_post(self, board: JobBoard, other: JobBoard) -> None:
        """A post wakes a waiting thread; after a time-out there are no jobs."""
        assert list(other.wait(0.05)) == []
        poster = threading.Timer(0.1, board.post, ("one",))
        poster.start()
        assert [job.name for job in other.wait(LONG)] == ["one"]
        poster.join()

    def test_retention_of_outcomes(self, open_board: Callable[..., JobBoard]) -> None:
        """After ``outcome_retention`` an ended job is unknown, and its key is free."""
        with open_board(outcome_retention=0.2) as board:
            job = board.post("one", key="k")
            board.claim(job, "me")
            board.consume(job, "me")
            self.pass_time(0.3)
            list(board.iterjobs())
            with pytest.raises(exc.NotFound, match="expired"):
                job.wait(0)
            assert board.post("two", key="k").uuid != job.uuid

    def test_an_unknown_uuid(self, board: JobBoard) -> None:
        """It is an error that names the board."""
        for get in (board.get_snapshot, board.get_job):
            with pytest.raises(exc.NotFound, match="no job 'unknown' on board 'contract'"):
                get("unknown")

    def test_a_job_by_its_uuid(self, board: JobBoard, other: JobBoard) -> None:
        """Another process gets the job, can claim it, and gets its result after it has ended."""
        uuid = board.post("one", details={"a": 1}).uuid
        job = other.get_job(uuid)
        assert (job.uuid, job.name, job.details) == (uuid, "one", {"a": 1})
        other.consume(other.claim(job, "me"), "me", {"result": 7})
        ended = board.get_job(uuid)
        assert (ended.name, ended.details, ended.result(0)) == ("one", {}, 7)

    def test_states(self, board: JobBoard) -> None:
        """The six states of a job."""
        jobs = [board.post(f"job {number}") for number in range(4)]
        later = board.post("later", not_before=self.clock.now() + 3600)
        assert {board.get_snapshot(job).state for job in jobs} == {"waiting"}
        for job in jobs:
            board.claim(job, "me")
        good, reverted, bad, poison = jobs
        assert board.get_snapshot(good).state == "claimed"
        board.consume(good, "me", {"state": st.SUCCESS, "result": {}})
        board.consume(reverted, "me", {"state": st.REVERTED})
        board.consume(bad, "me", {"failure": Failure.from_exception(ValueError()).to_dict()})
        board.trash(poison, "me", "no flow")
        states = [board.get_snapshot(job).state for job in (good, reverted, bad, poison, later)]
        assert states == ["succeeded", "failed", "failed", "dead", "scheduled"]

    def test_boards_in_one_store_are_separate(self, board: JobBoard, address: str) -> None:
        """A board of another name is another board."""
        board.post("one")
        with backends.fetch("contract 2", address, clock=self.clock) as separate:
            assert list(separate.iterjobs()) == []

    def test_names_of_the_boards_in_a_store(self, board: JobBoard, address: str) -> None:
        """A board is listed once a job was posted on it."""
        with backends.fetch("contract/2 ä", address, clock=self.clock) as second:
            assert board.board_names() == []
            board.post("one")
            assert second.board_names() == ["contract"]
            for name in ("two", "three"):
                second.post(name)
            assert sorted(board.board_names()) == ["contract", "contract/2 ä"]

    def test_membership(self, board: JobBoard) -> None:
        """Members register, repeatedly; one can be requested to drain."""
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
    """Return the names of jobs."""
    return [job.name for job in jobs]


class SizeContract:
    """Whatever is posted can be claimed and ended: what is too large is refused, or replaced."""

    #: Bytes of details and of outcomes.
    SIZES = (300_000, 480_000, 600_000, 1_020_000, 1_600_000)

    def _post(self, board: JobBoard, size: int) -> Job | None:
        """Post and claim a job with details of a size; None if the board refuses them."""
        refused = None
        try:
            job = board.post(f"job {size}", details={"d": "x" * size})
        except exc.ValueTooLarge as error:
            refused = error
        if refused is None:
            return board.claim(job, "me")
        assert refused.limit is not None
        assert refused.size is not None
        assert refused.size > refused.limit
        assert board.job_count == 0
        return None

    @pytest.mark.parametrize("batch", [False, True])
    def test_large_outcomes(self, board: JobBoard, other: JobBoard, batch: bool) -> None:
        """An outcome that does not fit is replaced by one that says so, and the job ends."""
        accepted = 0
        for details in self.SIZES:
            for outcome in self.SIZES[::2]:
                job = self._post(board, details)
                if job is None:
                    break
                accepted = max(accepted, details)
                given = {"state": st.SUCCESS, "result": {"r": "y" * outcome}}
                if batch:
                    done = JobCompletion(job, "consumed", given)
                    assert board.complete_and_claim("me", [done]).rejected == ()
                else:
                    board.consume(job, "me", given)
                ended = other.get_snapshot(job)
                assert ended.outcome is not None
                stored = ended.outcome["outcome"]
                if stored != given:
                    assert ended.state == "failed"
                    assert (stored["state"], "result" in stored) == (st.SUCCESS, False)
                    assert str(outcome)[:1] in Failure.from_dict(stored["failure"]).exception_str
                assert other.job_count == 0
        assert accepted >= self.SIZES[1]

    def test_large_failures(self, board: JobBoard, other: JobBoard) -> None:
        """A failure that does not fit is cut, and is still that failure."""
        for size in self.SIZES:
            job = self._post(board, 300_000)
            assert job is not None
            data = Failure.from_exception(RuntimeError("no such site")).to_dict()
            data["causes"] = [{**data, "exception_str": "x" * 30_000} for _ in range(size // 30_000)]
            board.consume(job, "me", {"state": st.REVERTED, "failure": data})
            ended = other.get_snapshot(job)
            assert ended.state == "failed"
            assert ended.outcome is not None
            assert ended.outcome["outcome"]["state"] == st.REVERTED
            assert Failure.from_dict(ended.outcome["outcome"]["failure"]).exception_str == "no such site"

    def test_large_dead_letters(self, board: JobBoard, other: JobBoard) -> None:
        """A job with large details and a long reason becomes a dead letter, and is requeued."""
        for size in self.SIZES:
            job = self._post(board, size)
            if job is None:
                continue
            for _ in range(3):
                board.abandon(job, "me")
                board.claim(job, "me")
            board.trash(job, "me", "no" * size)
            (record,) = other.dead_letters
            assert record.reason.startswith("nono")
            other.dead_letters.requeue(job.uuid)
            (waiting,) = other.iterjobs()
            assert waiting.details == {"d": "x" * size}
            other.consume(other.claim(waiting, "you"), "you")


class BatchContract:
    """``complete_and_claim``: ending many claims and making many in one commit."""

    def test_a_batch_ends_claims_and_makes_new_ones(self, board: JobBoard, other: JobBoard) -> None:
        """Claims end as requested; the first waiting jobs are claimed, in order."""
        for name, priority in (("d", "LOW"), ("a", "VERY_HIGH"), ("b", "HIGH"), ("c", "NORMAL")):
            board.post(name, priority=priority)
        first = other.complete_and_claim("me", limit=2)
        assert names(first.jobs) == ["a", "b"]
        assert [other.find_owner(job) for job in first.jobs] == ["me", "me"]
        done, bad = first.jobs
        ends = [
            JobCompletion(done, "consumed", {"result": 7}),
            JobCompletion(bad, "trashed", {"reason": "no such site"}),
        ]
        second = other.complete_and_claim("me", ends, limit=5)
        assert (names(second.jobs), second.rejected) == (["c", "d"], ())
        assert (done.result(0), done.state, bad.state) == (7, st.COMPLETE, st.COMPLETE)
        assert [record.reason for record in board.dead_letters] == ["no such site"]
        assert (
            other.complete_and_claim(
                "me", [JobCompletion(job, "consumed") for job in second.jobs], limit=5
            ).jobs
            == ()
        )
        assert board.job_count == 0

    def test_jobs_that_are_given_back_wait_again(self, board: JobBoard) -> None:
        """The history of claims has their dispositions; an unstarted one is not in it."""
        for name in ("a", "b", "c"):
            board.post(name)
        jobs = board.complete_and_claim("me", limit=3).jobs
        dispositions = ("abandoned", "released", "unstarted")
        completions = [JobCompletion(job, each) for job, each in zip(jobs, dispositions, strict=True)]
        board.complete_and_claim("me", completions)
        ended = [[claim.ended for claim in job.claims] for job in board.iterjobs(only_unclaimed=True)]
        assert sorted(ended) == [[], ["abandoned"], ["released"]]
        with pytest.raises(exc.JobFailure, match="it is not claimed"):
            board.consume(jobs[2], "me")

    def test_rejected_completions_do_not_affect_the_others(self, board: JobBoard, other: JobBoard) -> None:
        """Completions of lost claims are returned as rejected; the others are applied."""
        for name in ("a", "b", "c"):
            board.post(name)
        board.post("d", priority="LOW")
        lost, done, gone = board.complete_and_claim("me", limit=3).jobs
        theirs = next(job for job in other.iterjobs() if job.uuid == lost.uuid)
        other.abandon(theirs, "me")
        other.claim(theirs, "you")
        other.consume(next(job for job in other.iterjobs() if job.uuid == gone.uuid), "me")
        batch = board.complete_and_claim(
            "me", [JobCompletion(job, "consumed") for job in (lost, done, gone)], limit=1
        )
        assert {each.completion.job.uuid: type(each.error) for each in batch.rejected} == {
            lost.uuid: exc.JobFailure,
            gone.uuid: exc.NotFound,
        }
        assert (done.state, names(batch.jobs)) == (st.COMPLETE, ["d"])
        assert other.find_owner(theirs) == "you"

    def test_a_batch_larger_than_one_commit(self, board: JobBoard) -> None:
        """Completions take as many commits as they need; no more jobs are claimed than fit into one."""
        posted = {board.post(f"job {number}", details={"n": number}).uuid for number in range(60)}
        claimed: list[Job] = []
        while jobs := board.complete_and_claim("me", limit=100).jobs:
            claimed += jobs
        assert (len(claimed), {job.uuid for job in claimed}) == (60, posted)
        assert (
            board.complete_and_claim("me", [JobCompletion(job, "consumed") for job in claimed]).rejected == ()
        )
        assert board.job_count == 0

    def test_concurrent_batches_claim_different_jobs(self, open_board: Callable[..., JobBoard]) -> None:
        """Of several owners each claims other jobs, and every job is done once."""
        done: list[str] = []

        def run(owner: str) -> None:
            with open_board() as board:
                ends: list[JobCompletion] = []
                while True:
                    batch = board.complete_and_claim(owner, ends, limit=7)
                    assert batch.rejected == ()
                    ends = [JobCompletion(job, "consumed") for job in batch.jobs]
                    done.extend(names(batch.jobs))
                    if not ends and next(board.iterjobs(only_unclaimed=True), None) is None:
                        return

        with open_board() as board:
            for number in range(40):
                board.post(str(number))
            threads = [threading.Thread(target=run, args=(f"w{number}",)) for number in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(done, key=int) == [str(number) for number in range(40)]
            assert board.job_count == 0

    def test_retention_of_the_outcomes_of_a_batch(self, open_board: Callable[..., JobBoard]) -> None:
        """Outcomes of one batch expire together; their keys are free then."""
        with open_board(outcome_retention=0.2) as board:
            posted = [board.post(name, key=f"key {name}") for name in ("a", "b", "c")]
            jobs = board.complete_and_claim("me", limit=3).jobs
            board.complete_and_claim(
                "me", [JobCompletion(job, "consumed", {"result": job.name}) for job in jobs]
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
        raise NotImplementedError("JobBoardContract implements this")

    def test_a_batch_waits_for_jobs_of_its_capabilities(self, board: JobBoard, other: JobBoard) -> None:
        """Other jobs are left alone; a call without completions waits for jobs."""
        board.post("gpu", required_capabilities=["gpu"])
        assert other.complete_and_claim("me", limit=3, capabilities=[], timeout=0.05).jobs == ()
        poster = threading.Timer(0.1, board.post, ("plain",))
        poster.start()
        assert names(other.complete_and_claim("me", limit=3, capabilities=[], timeout=LONG).jobs) == ["plain"]
        assert names(other.complete_and_claim("me", limit=3, capabilities=["gpu"]).jobs) == ["gpu"]
        poster.join()

    def test_a_job_whose_claim_was_lost_is_claimed_alone(
        self, board: JobBoard, open_board: Callable[..., JobBoard]
    ) -> None:
        """It may have killed its owner: it must not affect other jobs."""
        board.post("a", priority="HIGH")
        lost = board.post("lost")
        board.post("z", priority="LOW")
        self.kill_owner(open_board, lost.uuid, "dead")
        claimed = [names(board.complete_and_claim("me", limit=5, timeout=LONG).jobs) for _ in range(3)]
        assert claimed == [["a"], ["lost"], ["z"]]

    def kill_owner(self, open_board: Callable[..., JobBoard], uuid: str, owner: str) -> None:
        """Have an owner claim a job and die, and wait until its lease has expired."""
        raise NotImplementedError("JobBoardContract implements this")

    def test_events_of_a_batch(self, board: JobBoard, other: JobBoard) -> None:
        """Each completion and each claim is an event of its own."""
        received: list[tuple[str, str]] = []
        read: list[Any] = []
        done = threading.Event()

        def receive(event: str, details: dict[str, Any]) -> None:
            received.append((event, details["job"].name))
            read.append(details["job"].details)
            if details["job"].name == "last":
                done.set()

        for name, priority in (("a", "HIGH"), ("b", "LOW")):
            board.post(name, priority=priority)
        jobs = board.complete_and_claim("me", limit=2).jobs
        other.notifier.register("*", receive)
        board.complete_and_claim("me", [JobCompletion(job, "consumed") for job in jobs])
        board.post("last")
        assert done.wait(LONG)
        assert received == [("REMOVAL", "a"), ("REMOVAL", "b"), ("POSTED", "last")]


class ClaimContract:
    """Claims and how they end."""

    def test_a_job_is_claimed_once(self, board: JobBoard, other: JobBoard) -> None:
        """Of two owners one gets the job; the error of the other names the owner."""
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

    def test_only_the_owner_can_end_a_claim(self, board: JobBoard, other: JobBoard) -> None:
        """No other owner can consume, abandon, trash or extend it."""
        job = board.post("one")
        board.claim(job, "me")
        theirs = next(other.iterjobs())
        for method in (other.consume, other.abandon, other.trash, other.extend):
            with pytest.raises(exc.JobFailure, match=r"'you' does not own.*claimed by 'me'"):
                method(theirs, "you")
        board.extend(job, "me")
        board.consume(job, "me")
        assert (job.state, board.job_count) == (st.COMPLETE, 0)

    def test_an_unclaimed_job_cannot_be_ended(self, board: JobBoard) -> None:
        """A job has to be claimed before it is ended."""
        job = board.post("one")
        for method in (board.consume, board.abandon, board.trash):
            with pytest.raises(exc.JobFailure, match="it is not claimed"):
                method(job, "me")

    def test_invalid_owner_names(self, board: JobBoard) -> None:
        """An empty name, or one that is not a string, is rejected before anything is written."""
        job = board.post("one")
        with pytest.raises(ValueError, match="name"):
            board.claim(job, "")
        with pytest.raises(TypeError, match="int"):
            board.claim(job, 5)  # type: ignore[arg-type]
        assert job.state == st.UNCLAIMED

    def test_an_abandoned_job_can_be_claimed_again(self, board: JobBoard, other: JobBoard) -> None:
        """Its history has the abandoned claim."""
        job = board.post("one")
        board.claim(job, "me")
        board.abandon(job, "me")
        claimed = other.claim(next(other.iterjobs(only_unclaimed=True)), "you")
        assert [(claim.owner, claim.ended) for claim in claimed.claims] == [("me", "abandoned"), ("you", "")]
        with pytest.raises(exc.JobFailure):
            board.consume(job, "me")
        other.consume(claimed, "you")

    def test_a_job_that_has_ended(self, board: JobBoard, other: JobBoard) -> None:
        """It cannot be claimed or ended, and has no owner."""
        job = board.post("one")
        theirs = next(other.iterjobs())
        board.claim(job, "me")
        board.consume(job, "me")
        with pytest.raises(exc.NotFound, match=r"has ended \(succeeded\)"):
            other.claim(theirs, "you")
        with pytest.raises(exc.NotFound):
            board.consume(job, "me")
        with pytest.raises(exc.NotFound):
            board.find_owner(job)


class JobBoardContract(
    ClaimContract,
    QueueContract,
    BatchContract,
    SizeContract,
    UnreadableContract,
    PostManyContract,
    ListingContract,
):
    """The whole contract."""

    #: Lease duration in seconds.
    ttl = 1.0
    #: Whether a forked child sees the same store.
    is_shared = True
    clock: Clock = SYSTEM
    settings: dict[str, Any] = {}  # noqa: RUF012  a subclass brings its own

    @pytest.fixture
    def address(self) -> str:
        """Return the URL of an empty store."""
        raise NotImplementedError("a subclass of the contract brings its own address fixture")

    @pytest.fixture
    def open_board(self, address: str) -> Callable[..., JobBoard]:
        """Return a function that opens the same board again."""

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
        """Open it again, as another process would."""
        with open_board() as board:
            yield board

    def kill_owner(self, open_board: Callable[..., JobBoard], uuid: str, owner: str) -> None:
        """Have an owner claim a job and die, and wait until its lease has expired."""

        def claim_and_die() -> None:
            board = open_board()
            board.connect()
            board.claim(next(job for job in board.iterjobs() if job.uuid == uuid), owner)
            os.kill(os.getpid(), signal.SIGKILL)

        assert in_child(claim_and_die) == -signal.SIGKILL
        time.sleep(self.ttl + 0.1)  # the server's clock cannot be stepped

    # ------------------------------------------------------------- owners that die

    def test_the_job_of_a_dead_owner_can_be_claimed(
        self, board: JobBoard, open_board: Callable[..., JobBoard]
    ) -> None:
        """When the lease has expired the job waits again; its history has the lost claim."""
        job = board.post("one")
        self.kill_owner(open_board, job.uuid, "dead")
        claimed = board.claim(next(board.wait(LONG)), "me")
        assert [(claim.owner, claim.ended) for claim in claimed.claims] == [("dead", "lost"), ("me", "")]
        board.consume(claimed, "me")

    def test_max_claims(self, board: JobBoard, open_board: Callable[..., JobBoard]) -> None:
        """After ``max_claims`` failed claims it is a dead letter, with its history; requeued, it has none."""
        job = board.post("poison")
        with open_board(max_claims=2) as strict:
            for owner in ("first", "second"):
                self.kill_owner(open_board, job.uuid, owner)
                list(strict.iterjobs())
        assert list(board.iterjobs()) == []
        (dead,) = board.dead_letters
        assert [claim.owner for claim in dead.claims] == ["first", "second"]
        assert "2 claims failed: first (lost), second (lost)" in dead.reason
        with pytest.raises(exc.JobFailure, match="dead letter: 2 claims failed"):
            job.result(LONG)
        board.dead_letters.requeue(job.uuid)
        assert [each.claims for each in board.iterjobs(only_unclaimed=True)] == [()]
        assert list(board.dead_letters) == []

    def test_a_graceful_shutdown_does_not_count(self, open_board: Callable[..., JobBoard]) -> None:
        """An owner that stops gives its jobs back, any number of times."""
        with open_board(max_claims=1) as board:
            job = board.post("one")
            for _ in range(3):
                board.claim(job, "me")
                board.abandon(job, "me", counts=False)
            board.claim(job, "me")
            board.abandon(job, "me")
            assert job.state == st.COMPLETE

    def test_closing_a_board_releases_its_claims(
        self, board: JobBoard, open_board: Callable[..., JobBoard]
    ) -> None:
        """Others can claim the jobs immediately."""
        board.post("one")
        with open_board() as closing:
            closing.claim(next(closing.iterjobs()), "gone")
        assert next(board.wait(LONG)).claims[-1].ended == "lost"

    # ------------------------------------------------------------- forked children

    def test_a_forked_child_leaves_the_claims_of_its_parent(self, board: JobBoard, other: JobBoard) -> None:
        """Whether it closes the board, collects it as garbage, or just ends."""
        board.post("one")
        board.use_heartbeat_process()
        board.register_entity(Entity("conductor", "me"))
        job = board.claim(next(board.iterjobs()), "me")

        def leave_with() -> None:
            with board:
                assert board.idle_claims("me") == []

        for leave in (board.close, leave_with, lambda: None):
            assert in_child(leave) == 0
            assert other.find_owner(job) == "me"
        if self.is_shared:
            time.sleep(1.5 * self.ttl)  # without its heartbeat the claim would be lost by now
        list(other.iterjobs())
        assert (other.find_owner(job), [each.name for each in other.membership.members()]) == ("me", ["me"])
        board.extend(job, "me")
        board.consume(job, "me", {"result": 7})
        assert other.get_job(job.uuid).result(0) == 7

    def test_a_forked_child_claims_on_a_lease_of_its_own(self, board: JobBoard, other: JobBoard) -> None:
        """Under the name of its parent, too: the end of the child ends no claim of the parent."""
        if not self.is_shared:
            pytest.skip("a child has a copy of this store")
        for name in ("parents", "childs"):
            board.post(name)
            self.pass_time(0.001)
        job = board.claim(next(board.iterjobs()), "me")

        def claim() -> None:
            board.claim(next(board.iterjobs(only_unclaimed=True)), "me")
            board.close()

        assert in_child(claim) == 0
        (lost,) = other.iterjobs(only_unclaimed=True)
        assert (lost.name, lost.claims[-1].ended, other.find_owner(job)) == ("childs", "lost", "me")
        board.consume(job, "me")

    # ------------------------------------------------------------- reasons

    def test_the_reason_of_an_abandoned_claim(self, board: JobBoard, other: JobBoard) -> None:
        """It is in the history, and in the reason of the dead letter."""
        job = board.post("one")
        board.claim(job, "me")
        board.abandon(job, "me", reason="no such site")
        (read,) = other.iterjobs()
        assert [(claim.ended, claim.reason) for claim in read.claims] == [("abandoned", "no such site")]

    def test_a_declined_job_is_left_to_others(self, open_board: Callable[..., JobBoard]) -> None:
        """Its owner does not claim it again at once; after ``max_claims`` it is a dead letter."""
        with open_board(max_claims=3) as board:
            board.post("one")
            (claimed,) = board.complete_and_claim("me", limit=1).jobs
            decline = [JobCompletion(claimed, "declined", {"reason": "no such module"})]
            assert board.complete_and_claim("me", decline, limit=1).jobs == ()
            assert board.complete_and_claim("me", limit=1).jobs == ()
            assert board.complete_and_claim("me", limit=1, timeout=0.05).jobs == ()
            (claimed,) = board.complete_and_claim("you", limit=1).jobs
            assert [claim.reason for claim in claimed.claims] == ["no such module", ""]
            board.complete_and_claim("you", [JobCompletion(claimed, "abandoned")])
            self.pass_time(0.6)
            (claimed,) = board.complete_and_claim("me", limit=1, timeout=LONG).jobs
            board.complete_and_claim("me", [JobCompletion(claimed, "declined")])
            (dead,) = board.dead_letters
            assert dead.reason == (
                "3 claims failed: me (declined), you (abandoned), me (declined); last reason: no such module"
            )

    def test_requeueing_by_reason(self, board: JobBoard, other: JobBoard) -> None:
        """Dead letters are requeued in their order; one that dies again meanwhile is requeued once."""
        for name, reason in (("a", "no module 'shop'"), ("b", "expired"), ("c", "No Module 'x'")):
            job = board.post(name)
            board.claim(job, "me")
            board.trash(job, "me", reason)
            self.pass_time(0.001)
        requeued = []
        for record in board.dead_letters.requeue_all("no module"):
            requeued.append(record.name)
            self.pass_time(0.001)
            job = other.claim(next(other.iterjobs()), "you")
            other.trash(job, "you", "no module again")
        assert requeued == ["a", "c"]
        assert sorted(record.name for record in board.dead_letters) == ["a", "b", "c"]
        assert [record.name for record in board.dead_letters.requeue_all()] == ["b", "a", "c"]
        assert list(other.dead_letters) == []

    # ------------------------------------------------------------- outcomes

    def test_waiting_for_the_result(self, board: JobBoard, other: JobBoard) -> None:
        """The result of ``consume`` is returned where the job was posted."""
        job = board.post("one")
        theirs = other.claim(next(other.iterjobs()), "worker")
        assert not job.wait(0.05)
        with pytest.raises(exc.JobFailure, match="has not ended within"):
            job.result(0.05)
        consumer = threading.Timer(0.1, other.consume, (theirs, "worker", {"result": {"x": [1, 2]}}))
        consumer.start()
        assert job.result(LONG) == {"x": [1, 2]}
        assert job.wait(LONG)
        consumer.join()

    def test_the_failure_is_raised_by_result(self, board: JobBoard) -> None:
        """The failure of ``consume`` is raised where the job was posted."""
        job = board.post("one")
        board.claim(job, "worker")
        failure = Failure.from_exception(ValueError("no such site"))
        board.consume(job, "worker", {"failure": failure.to_dict()})
        with pytest.raises(exc.WrappedFailure, match="no such site"):
            job.result(LONG)

    def test_a_trashed_job(self, board: JobBoard) -> None:
        """It is a dead letter with its reason, which ``result`` raises."""
        job = board.post("bad", details={"a": 1})
        board.claim(job, "worker")
        board.trash(job, "worker", "no such factory")
        assert [(each.name, each.reason, each.details) for each in board.dead_letters] == [
            ("bad", "no such factory", {"a": 1})
        ]
        with pytest.raises(exc.JobFailure, match="dead letter: no such factory"):
            job.result(LONG)
        board.dead_letters.discard(job.uuid)
        for method in (board.dead_letters.requeue, board.dead_letters.discard):
            with pytest.raises(exc.NotFound, match="no dead letter"):
                method(job.uuid)

    # ------------------------------------------------------------- events

    def test_events_of_other_processes(self, board: JobBoard, other: JobBoard) -> None:
        """Each post, claim, abandonment and end is received once, in the order of one writer."""
        received: list[tuple[str, str]] = []
        read: list[Any] = []
        done = threading.Event()

        def receive(event: str, details: dict[str, Any]) -> None:
            received.append((event, details["job"].name))
            read.append(details["job"].details)
            if event == "REMOVAL":
                done.set()

        other.notifier.register("*", receive)
        job = board.post("one")
        board.claim(job, "me")
        board.abandon(job, "me")
        board.claim(job, "me")
        board.consume(job, "me")
        assert done.wait(LONG)
        wanted = ["POSTED", "CLAIMED", "ABANDONED", "CLAIMED", "REMOVAL"]
        assert received == [(event, "one") for event in wanted]
