"""The process that keeps leases up may end, or hang: that costs nobody his claims."""

import signal
import time

import psutil
import pytest

from stackl_flow.coordination.membership import Entity
from stackl_flow.jobboards import backends

#: Seconds; a lease is to outlive the start of another process, also on a busy machine.
TTL = 3.0
LONG = 30.0


@pytest.fixture
def board(tmp_path):
    with backends.backend("work", {"board": f"dir://{tmp_path}/board", "ttl": TTL}) as board:
        board.use_heartbeat_process()
        yield board


def is_heart(process):
    try:
        return "stackl_flow.coordination.heartbeat" in process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def hearts():
    return [child for child in psutil.Process().children() if is_heart(child)]


def next_heart(old):
    deadline = time.monotonic() + LONG
    while not (new := [each for each in hearts() if each.pid != old.pid]):
        assert time.monotonic() < deadline
        time.sleep(0.01)  # a process does not say when another has started it
    return new[0]


def test_another_takes_the_place_of_one_that_was_killed_and_keeps_what_it_kept(board):
    board.register_entity(Entity("conductor", "me"))
    lost = []
    board.on_lease_lost(lost.append)
    board.post("one")
    job = board.claim(next(board.iterjobs()), "me")
    for _ in range(2):
        (heart,) = hearts()
        heart.kill()
        next_heart(heart)
    time.sleep(TTL + 0.5)  # nobody but the new one extends the lease meanwhile
    assert lost == []
    assert board.find_owner(job) == "me"
    board.consume(job, "me")


def test_a_claim_made_while_there_is_none_is_kept_by_the_next(board):
    board.post("one")
    (heart,) = hearts()
    heart.kill()
    job = board.claim(next(board.iterjobs()), "me")
    next_heart(heart)
    time.sleep(TTL + 0.5)  # as above
    assert board.find_owner(job) == "me"


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP])
def test_a_board_closes_without_it(board, sign):
    board.post("one")
    board.claim(next(board.iterjobs()), "me")
    (heart,) = hearts()
    heart.send_signal(sign)
    board.close()
    assert hearts() == []
