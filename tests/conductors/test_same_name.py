"""Two conductors of one name, on boards of their own: neither ends the other's claims, and no job is lost."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from contextlib import ExitStack

import pytest

from stackl_flow.conductors import Conductor
from stackl_flow.jobboards import backends as boards
from stackl_flow.jobboards.board import KVBoard
from stackl_flow.kv import backends as stores
from stackl_flow.testing.faults import Fault, Faults, FaultyKV, Kind
from tests.conductors.conftest import TTL, Deployment
from tests.conductors.test_takeover import LONG, eventually


@pytest.fixture(params=["dir", "sqlite"])
def deployment(request, tmp_path):
    address = f"dir://{tmp_path}/board" if request.param == "dir" else f"sqlite:///{tmp_path}/board.db"
    deployment = Deployment(tmp_path, address)
    yield deployment
    deployment.close()


@pytest.fixture
def twins(deployment):
    """Two conductors of one name in this process, with a board each."""
    with ExitStack() as stack:
        opened = [
            stack.enter_context(
                boards.backend(
                    "work", {"board": deployment.address, "ttl": TTL}, persistence=deployment.store
                )
            )
            for _ in range(2)
        ]
        yield [
            Conductor(
                "twin",
                board,
                deployment.store,
                wait_timeout=0.05,
                max_simultaneous_jobs=2,
                prefetch=1,
                rescue_after=0.2,
            )
            for board in opened
        ]


def start(conductor):
    thread = threading.Thread(target=conductor.run)
    thread.start()
    return thread


def claimed(deployment):
    """Return the jobs that are claimed, by lease."""
    jobs = [deployment.board.get_snapshot(job) for job in deployment.board.iterjobs()]
    return {job.record.lease: job.record.name for job in jobs if job.state == "claimed"}


@pytest.mark.parametrize("how", ["stop", "drain"])
def test_the_end_of_one_leaves_the_claims_of_the_other(how, twins, deployment):
    first, second = twins
    threads, jobs = [], []
    for twin in twins:
        # The first has no slot left when the second starts.
        jobs += [deployment.post("slow", store={"seconds": 2}) for _ in range(2)]
        threads.append(start(twin))
        count = len(jobs)
        eventually(lambda count=count: deployment.done().count(("a", "execute")) == count)
    assert len(set(claimed(deployment))) == 2, "each has a lease of its own"
    if how == "stop":
        first.stop()
        threads[0].join(LONG)
        assert second.dispatching
        for job in jobs:
            job.result(LONG)
        second.stop()
    else:
        deployment.board.membership.request_drain("twin")  # a name, so both
        for thread in threads:
            thread.join(LONG)
        assert {deployment.board.get_snapshot(job).state for job in jobs} == {"waiting"}
        threads = [start(first), start(second)]
        for job in jobs:
            job.result(LONG)
        first.stop()
        second.stop()
    for thread in threads:
        thread.join(LONG)
    assert Counter(deployment.done()) == {("a", "execute"): 4, ("b", "execute"): 4}


def test_many_jobs_of_processes_of_one_name(deployment):
    """Some of them are drained and started again meanwhile: every task runs once."""
    processes = [deployment.start("twin", "--slots", "2") for _ in range(2)]
    jobs = [deployment.post("good") for _ in range(30)]
    for _ in range(2):
        processes[0].send_signal(signal.SIGTERM)
        assert processes[0].wait(LONG) == 0
        processes[0] = deployment.start("twin", "--slots", "2")
    for job in jobs:
        job.result(LONG)
    assert Counter(deployment.done()) == {("a", "execute"): 30, ("b", "execute"): 30}
    assert list(deployment.board.dead_letters) == []


def test_a_claim_in_doubt_is_not_taken_for_that_of_another_process(deployment):
    """The store said that a claim had failed, and it had; another of this name has made it since."""
    job = deployment.post("good")
    faults = Faults()
    board = KVBoard("work", FaultyKV(stores.fetch(deployment.address), faults), ttl=TTL)
    with board:
        board.register_entity(Conductor("twin", board).conductor)  # it has a lease now
        mine = next(board.iterjobs())
        faults.add(Fault(1, Kind.BEFORE, {"commit"}, times=None))
        with pytest.raises(Exception, match="injected fault"):
            board.claim(mine, "twin")
        faults.release()
        other = deployment.board.claim(next(deployment.board.iterjobs()), "twin")
        board.settle_claims()
        assert deployment.board.find_owner(job) == "twin"
        deployment.board.consume(other, "twin")


def test_a_claim_in_doubt_that_was_made_is_given_back(deployment):
    """Without a trace in the history, and by a conductor that claims nothing, too."""
    job = deployment.post("good")
    faults = Faults()
    board = KVBoard("work", FaultyKV(stores.fetch(deployment.address), faults), ttl=TTL)
    with board:
        board.register_entity(Conductor("me", board).conductor)  # it has a lease now
        mine = next(board.iterjobs())
        faults.add(Fault(1, Kind.AFTER, {"commit"}))
        with pytest.raises(Exception, match="injected fault"):
            board.claim(mine, "me")
        assert deployment.board.find_owner(job) == "me"
        board.settle_claims()
        assert deployment.board.get_snapshot(job).record.claims == ()
        assert deployment.board.find_owner(job) is None
