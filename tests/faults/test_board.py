"""A fault in any call of a board's store loses no job, runs none twice and keeps no claim.

The programs under test do what the documentation of `JobBoard` asks for: they repeat what failed.
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections import Counter
from typing import Any

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.jobboards.base import JobBoard, JobCompletion
from stackl_flow.jobboards.board import KVBoard
from stackl_flow.jobboards.maintenance import QueuePolicy
from stackl_flow.kv import backends as stores
from stackl_flow.testing.faults import Fault, Faults, FaultyKV, Kind, each_call, faulty_board

#: How often a program repeats what failed.
ATTEMPTS = 20
#: Seconds of a lease; claims made before a fault may last that long.
TTL = 0.5
NAMES = ("ends", "fails", "given back", "set aside", "claimed late")


@pytest.fixture(params=["memory", "directory", "sqlite"])
def new_url(request, tmp_path):
    """Make URLs of empty stores."""

    def make() -> str:
        name = uuid.uuid4().hex
        return {
            "memory": f"memory://{name}",
            "directory": f"dir://{tmp_path}/{name}",
            "sqlite": f"sqlite:///{tmp_path}/{name}.db",
        }[request.param]

    return make


def open_board(url: str, faults: Faults, ttl: float = 15.0) -> KVBoard:
    """Return a board with faults in its store; it has not connected."""
    return KVBoard("work", FaultyKV(stores.fetch(url), faults), ttl=ttl, policy=QueuePolicy(max_claims=None))


def attempt(work: Any, *args: Any, **kwargs: Any) -> Any:
    """Call until it does not fail; a claim that has ended by a call whose answer was lost is no error."""
    for _ in range(ATTEMPTS):
        try:
            return work(*args, **kwargs)
        except (exc.StorageFailure, ConnectionError):
            continue
    raise AssertionError(f"{work} failed {ATTEMPTS} times")


def post_all(board: JobBoard) -> dict[str, str]:
    """Post the jobs under keys, so that a post can be repeated; return their names by uuid."""
    return {attempt(board.post, name, key=name).uuid: name for name in NAMES}


def outcome(name: str) -> dict[str, Any]:
    return {"state": "SUCCESS", "result": name} if name != "fails" else {"state": "REVERTED", "failure": None}


def run_batches(board: JobBoard) -> Counter[str]:
    """Run all jobs as a conductor does; return how often each was run."""
    ran: Counter[str] = Counter()
    pending: list[JobCompletion] = []
    for _ in range(10 * ATTEMPTS):
        try:
            batch = board.complete_and_claim("me", pending, limit=2)
        except (exc.StorageFailure, ConnectionError):
            continue
        pending = []
        for job in batch.jobs:
            ran[job.name] += 1
            given_back = job.name == "given back" and ran[job.name] == 1
            pending.append(JobCompletion(job, "abandoned" if given_back else "consumed", outcome(job.name)))
        if not pending and not attempt(lambda: board.job_count):
            return ran
    raise AssertionError(f"jobs are left: {[repr(job) for job in attempt(lambda: list(board.iterjobs()))]}")


def run_one_by_one(board: JobBoard) -> Counter[str]:
    """Run all jobs with the single methods of a board; return how often each was run."""
    ran: Counter[str] = Counter()
    for _ in range(10 * ATTEMPTS):
        jobs = attempt(lambda: list(board.iterjobs(only_unclaimed=True)))
        if not jobs and not attempt(lambda: board.job_count):
            return ran
        for job in jobs[:1]:
            try:
                board.claim(job, "me")
            except (exc.StorageFailure, exc.JobFailure, ConnectionError):
                continue  # given back by the next listing, if it was made
            ran[job.name] += 1
            if job.name == "given back" and ran[job.name] == 1:
                end(board, "abandon", job, "me")
            elif job.name == "set aside" and ran[job.name] == 1:
                end(board, "trash", job, "me", "not today")
                requeue(board, job.uuid)
            else:
                attempt(board.extend, job, "me")
                end(board, "consume", job, "me", outcome(job.name))
    raise AssertionError(f"jobs are left: {[repr(job) for job in attempt(lambda: list(board.iterjobs()))]}")


def end(board: JobBoard, verb: str, *args: Any) -> None:
    """End a claim; that it has ended already is the effect of a call whose answer was lost."""
    for number in range(ATTEMPTS):
        try:
            getattr(board, verb)(*args)
            return
        except (exc.StorageFailure, ConnectionError):
            continue
        except (exc.JobFailure, exc.NotFound):
            assert number, "the first attempt must find the claim"
            return


def requeue(board: JobBoard, job: str) -> None:
    for number in range(ATTEMPTS):
        try:
            board.dead_letters.requeue(job)
            return
        except (exc.StorageFailure, ConnectionError):
            continue
        except exc.NotFound:
            assert number, "the first attempt must find the dead letter"
            return


def check_ended(url: str, posted: dict[str, str]) -> None:
    """Check what a program without faults sees: all jobs have ended with their outcomes, once."""
    with open_board(url, Faults()) as board:
        assert board.job_count == 0
        assert list(board.iterjobs()) == []
        assert sorted(posted.values()) == sorted(NAMES)
        for job, name in posted.items():
            snapshot = board.get_snapshot(job)
            assert snapshot.state == ("failed" if name == "fails" else "succeeded"), name
            assert snapshot.outcome["outcome"]["state"] == outcome(name)["state"], name


EXPECTED = {
    run_batches: {"ends": 1, "fails": 1, "given back": 2, "set aside": 1, "claimed late": 1},
    run_one_by_one: {"ends": 1, "fails": 1, "given back": 2, "set aside": 2, "claimed late": 1},
}


@pytest.mark.parametrize("program", EXPECTED, ids=lambda program: program.__name__)
def test_a_fault_in_any_call_of_the_store(program: Any, new_url) -> None:
    for faults in each_call((Kind.BEFORE, Kind.AFTER)):
        url = new_url()
        board = open_board(url, faults)
        attempt(board.connect)
        posted = post_all(board)
        assert program(board) == EXPECTED[program], faults
        faults.release()
        board.close()
        check_ended(url, posted)


@pytest.mark.parametrize("program", EXPECTED, ids=lambda program: program.__name__)
@pytest.mark.parametrize("seed", range(12))
def test_many_faults_in_the_store(seed: int, program: Any, new_url) -> None:
    url, faults = new_url(), Faults.seeded(seed, calls=200, rate=0.15, kinds=(Kind.BEFORE, Kind.AFTER))
    board = open_board(url, faults)
    attempt(board.connect)
    posted = post_all(board)
    assert program(board) == EXPECTED[program], faults
    assert faults.injected or seed
    faults.release()
    board.close()
    check_ended(url, posted)


@pytest.mark.parametrize("program", EXPECTED, ids=lambda program: program.__name__)
def test_a_fault_in_any_call_of_the_board(program: Any, new_url) -> None:
    """A call of the board whose answer is lost: a job may be run again, but none is lost or kept."""
    for faults in each_call((Kind.BEFORE,)):
        url = new_url()
        real = open_board(url, Faults())
        board = faulty_board(real, faults)
        board.connect()
        posted = post_all(board)
        assert program(board) == EXPECTED[program], faults
        board.close()
        check_ended(url, posted)


def test_an_outage_from_any_call_on_keeps_no_claim(new_url) -> None:
    """A program that ends while its store cannot be used: its claims expire, and another runs the jobs."""
    for faults in each_call((Kind.BEFORE,), times=None, step=5):
        url = new_url()
        with open_board(url, Faults()) as healthy:
            posted = post_all(healthy)
            board = open_board(url, faults, ttl=TTL)
            ended = run_until_failure(board)
            try:
                board.close()
            except exc.StorageFailure:
                assert faults.injected
            assert not board.connected
            until = time.monotonic() + 20 * TTL
            while len(list(healthy.iterjobs(only_unclaimed=True))) < len(NAMES) - len(ended):
                assert time.monotonic() < until, f"claims are kept: {faults}"
                time.sleep(TTL / 20)  # leases expire in real time
            ran = run_batches(healthy)
            assert not ended & ran.keys() - {"given back"}
        check_ended(url, posted)


def consume(board: JobBoard, job: Any) -> None:
    board.consume(job, "me", outcome(job.name))


def abandon(board: JobBoard, job: Any) -> None:
    board.abandon(job, "me")


def trash(board: JobBoard, job: Any) -> None:
    board.trash(job, "me", "not today")


def complete(board: JobBoard, job: Any) -> None:
    batch = board.complete_and_claim("me", [JobCompletion(job, "consumed", outcome(job.name))])
    for rejected in batch.rejected:
        raise rejected.error


def complete_and_claim(board: JobBoard, job: Any) -> None:
    batch = board.complete_and_claim("me", [JobCompletion(job, "consumed", outcome(job.name))], limit=1)
    for rejected in batch.rejected:
        raise rejected.error


@pytest.mark.parametrize("end_claim", [consume, abandon, trash, complete, complete_and_claim])
def test_a_claim_on_a_lease_that_expired_ends_nothing(end_claim: Any, new_url) -> None:
    """Also before any process has noticed that the lease has expired."""
    rejected = 0
    for at in itertools.count(1):
        faults, url = Faults(), new_url()
        with open_board(url, faults) as board, open_board(url, Faults()) as other:
            board.post("ends")
            job = board.claim(next(board.iterjobs()), "me")
            faults.add(Fault(at, Kind.EXPIRE))
            calls = len(faults.calls)
            try:
                end_claim(board, job)
            except exc.JobFailure:
                rejected += 1
                assert faults.injected
                assert other.get_snapshot(job).outcome is None
                assert next(other.iterjobs()).claims[0].ended == "lost"
            else:
                committed = calls + faults.calls[calls:].index("commit") + 1
                assert not faults.injected or calls + at > committed
            if not faults.injected:
                break
    assert rejected


def claim(board: JobBoard) -> list[Any]:
    return [board.claim(next(board.iterjobs()), "me")]


def claim_batch(board: JobBoard) -> list[Any]:
    return list(board.complete_and_claim("me", limit=1).jobs)


@pytest.mark.parametrize("make_claim", [claim, claim_batch])
def test_no_claim_is_made_on_a_lease_that_expired(make_claim: Any, new_url) -> None:
    for at in itertools.count(1):
        faults, url = Faults(), new_url()
        with open_board(url, faults) as board, open_board(url, Faults()) as other:
            board.post("first")
            board.consume(board.claim(next(board.iterjobs()), "me"), "me")  # it has a lease now
            board.post("ends")
            faults.add(Fault(at, Kind.EXPIRE))
            calls = len(faults.calls)
            try:
                claimed = make_claim(board)
            except (exc.LeaseLost, exc.UnclaimableJob):
                assert faults.injected
                claimed = []
            committed = len(faults.calls) - faults.calls[::-1].index("commit")
            if claimed and calls + at <= committed:
                assert other.find_owner(claimed[0]) == "me"
            if not faults.injected:
                break
            for job in claimed or make_claim(board):  # the next attempt succeeds
                board.find_owner(job)


def run_until_failure(board: JobBoard) -> set[str]:
    """Run jobs until the store fails; return the names of those that have ended."""
    ended: set[str] = set()
    try:
        board.connect()
        for _ in NAMES:
            (job,) = board.complete_and_claim("late", limit=1).jobs
            board.consume(job, "late", outcome(job.name))
            ended.add(job.name)
    except exc.StorageFailure:
        return ended
    return ended
