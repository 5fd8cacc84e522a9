"""The part of a board's contract that is about turns: many ends and many claims in one commit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from stackl_flow import exceptions as exc
from stackl_flow import states as st
from stackl_flow.jobboards.base import JobBoard
from stackl_flow.jobboards.job import Ending, Job

#: Seconds; what a test waits for comes much sooner.
LONG = 20.0


def names(jobs: tuple[Job, ...]) -> list[str]:
    """Say what jobs are called."""
    return [job.name for job in jobs]


class TurnContract:
    """Working in turns."""

    def test_a_turn_ends_claims_and_makes_new_ones(self, board: JobBoard, other: JobBoard) -> None:
        """What was claimed ends as is said; the first of what waits is claimed, in its order."""
        for name, priority in (("d", "LOW"), ("a", "VERY_HIGH"), ("b", "HIGH"), ("c", "NORMAL")):
            board.post(name, priority=priority)
        first = other.turn("me", want=2)
        assert names(first.claimed) == ["a", "b"]
        assert [other.find_owner(job) for job in first.claimed] == ["me", "me"]
        done, bad = first.claimed
        ends = [Ending(done, "consumed", {"result": 7}), Ending(bad, "trashed", {"reason": "no such site"})]
        second = other.turn("me", ends, want=5)
        assert (names(second.claimed), second.late) == (["c", "d"], ())
        assert (done.result(0), done.state, bad.state) == (7, st.COMPLETE, st.COMPLETE)
        assert [posting.reason for posting in board.bin] == ["no such site"]
        assert other.turn("me", [Ending(job, "consumed") for job in second.claimed], want=5).claimed == ()
        assert board.job_count == 0

    def test_what_is_given_back_in_a_turn_waits_again(self, board: JobBoard) -> None:
        """An unbegun job shows no trace of the claim, the others say how theirs ended."""
        for name in ("a", "b", "c"):
            board.post(name)
        jobs = board.turn("me", want=3).claimed
        hows = ("abandoned", "released", "unbegun")
        board.turn("me", [Ending(job, how) for job, how in zip(jobs, hows, strict=True)])
        ended = [[claim.ended for claim in job.claims] for job in board.iterjobs(only_unclaimed=True)]
        assert sorted(ended) == [[], ["abandoned"], ["released"]]
        with pytest.raises(exc.JobFailure, match="nobody claims it"):
            board.consume(jobs[2], "me")

    def test_ends_that_come_too_late_do_not_harm_the_others(self, board: JobBoard, other: JobBoard) -> None:
        """A claim that is not there any more is told of; what else is in the turn lands."""
        for name in ("a", "b", "c"):
            board.post(name)
        board.post("d", priority="LOW")
        lost, done, gone = board.turn("me", want=3).claimed
        theirs = next(job for job in other.iterjobs() if job.uuid == lost.uuid)
        other.abandon(theirs, "me")
        other.claim(theirs, "you")
        other.consume(next(job for job in other.iterjobs() if job.uuid == gone.uuid), "me")
        turn = board.turn("me", [Ending(job, "consumed") for job in (lost, done, gone)], want=1)
        assert {late.ending.job.uuid: type(late.error) for late in turn.late} == {
            lost.uuid: exc.JobFailure,
            gone.uuid: exc.NotFound,
        }
        assert (done.state, names(turn.claimed)) == (st.COMPLETE, ["d"])
        assert other.find_owner(theirs) == "you"

    def test_a_turn_of_more_than_one_commit_takes(self, board: JobBoard) -> None:
        """Ends are spread over as many commits as they need; no more is claimed than fits one."""
        posted = {board.post(f"job {number}", details={"n": number}).uuid for number in range(60)}
        claimed: list[Job] = []
        while turn := board.turn("me", want=100).claimed:
            claimed += turn
        assert (len(claimed), {job.uuid for job in claimed}) == (60, posted)
        assert board.turn("me", [Ending(job, "consumed") for job in claimed]).late == ()
        assert board.job_count == 0

    def test_those_who_turn_at_once_never_get_the_same(self, open_board: Callable[..., JobBoard]) -> None:
        """Of several who take many jobs at once each gets others, and all jobs are done."""
        done: list[str] = []

        def work(who: str) -> None:
            with open_board() as board:
                ends: list[Ending] = []
                while True:
                    turn = board.turn(who, ends, want=7)
                    assert turn.late == ()
                    ends = [Ending(job, "consumed") for job in turn.claimed]
                    done.extend(names(turn.claimed))
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
        with open_board(keep_outcomes=0.2) as board:
            posted = [board.post(name, key=f"key {name}") for name in ("a", "b", "c")]
            jobs = board.turn("me", want=3).claimed
            board.turn("me", [Ending(job, "consumed", {"result": job.name}) for job in jobs])
            assert [job.result(0) for job in posted] == ["a", "b", "c"]
            self.pass_time(0.3)
            list(board.iterjobs())
            for job in posted:
                with pytest.raises(exc.NotFound, match="forgotten"):
                    job.wait(0)
            assert board.post("a", key="key a").uuid != posted[0].uuid

    def pass_time(self, seconds: float) -> None:
        """Let time pass for the board."""
        raise NotImplementedError("the whole contract says how")

    def test_a_turn_takes_what_one_can_do_and_waits_for_it(self, board: JobBoard, other: JobBoard) -> None:
        """Jobs that need what one cannot are left; who has nothing to tell waits for work."""
        board.post("gpu", needs=["gpu"])
        assert other.turn("me", want=3, can=[], timeout=0.05).claimed == ()
        posting = threading.Timer(0.1, board.post, ("plain",))
        posting.start()
        assert names(other.turn("me", want=3, can=[], timeout=LONG).claimed) == ["plain"]
        assert names(other.turn("me", want=3, can=["gpu"]).claimed) == ["gpu"]
        posting.join()

    def test_a_job_that_may_have_killed_its_worker_is_claimed_alone(
        self, board: JobBoard, open_board: Callable[..., JobBoard]
    ) -> None:
        """One whose last claim was lost comes by itself, so that it takes no others along."""
        board.post("a", priority="HIGH")
        lost = board.post("lost")
        board.post("z", priority="LOW")
        self.die(open_board, lost.uuid, "dead")
        taken = [names(board.turn("me", want=5, timeout=LONG).claimed) for _ in range(3)]
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
        jobs = board.turn("me", want=2).claimed
        other.notifier.register("*", hear)
        board.turn("me", [Ending(job, "consumed") for job in jobs])
        board.post("last")
        assert done.wait(LONG)
        assert heard == [("REMOVAL", "a"), ("REMOVAL", "b"), ("POSTED", "last")]
