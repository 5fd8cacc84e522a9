"""Clocks that are an hour off, in processes of their own: they steal no claim, and lose none."""

import contextlib
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from stackl_flow.jobboards import backends
from tests.jobboards.clockwork import TTL, Wrong

ROOT = Path(__file__).resolve().parents[2]
HOUR = 3600.0
#: Those with a clock of their own. In a file or a directory all are on one machine, which has one clock.
SERVERS = ["redis", "zookeeper", "etcd", "postgresql", "mysql"]


@pytest.fixture
def addresses(request):
    """A place with a clock of its own on each server."""
    urls = {server: request.getfixturevalue(f"{server}_url") for server in SERVERS}
    return [f"{url}/{uuid.uuid4()}" if at in {"zookeeper", "etcd"} else url for at, url in urls.items()]


class Worker:
    """One whose clock is wrong."""

    def __init__(self, hours, board, addresses):
        words = [sys.executable, "-m", "tests.jobboards.clockwork", str(hours), f"wrong{hours}", board]
        words += addresses
        self._process = subprocess.Popen(
            words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def hear(self):
        return self._process.stdout.readline().strip()

    def try_to_claim(self, name):
        self._process.stdin.write(f"{name}\n")
        self._process.stdin.flush()
        return self.hear()

    def finish(self):
        self._process.stdin.close()
        said = self.hear()
        assert self._process.wait(30) == 0
        return said

    def close(self):
        self._process.kill()
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def test_claims_do_not_go_by_the_clocks_of_those_who_claim(addresses):
    name = f"b{uuid.uuid4().hex}"
    with contextlib.ExitStack() as stack:
        boards = [
            stack.enter_context(backends.fetch(name, {"board": address, "ttl": TTL})) for address in addresses
        ]
        workers = []
        for hours in (1, -1):
            workers.append(Worker(hours, name, addresses))
            stack.callback(workers[-1].close)
            for board in boards:
                board.post(f"for {hours}")
        ours = [board.claim(board.post("ours"), "right") for board in boards]
        refused, claimed = " ".join(["refused"] * len(boards)), " ".join(["claimed"] * len(boards))
        assert [worker.hear() for worker in workers] == ["ready", "ready"]
        assert [worker.try_to_claim("ours") for worker in workers] == [refused, refused]
        for worker, hours in zip(workers, (1, -1), strict=True):
            assert worker.try_to_claim(f"for {hours}") == claimed
        time.sleep(TTL + 0.5)  # long enough for a lease that nobody extends to run out
        for board in boards:
            owners = {job.name: board.find_owner(job) for job in board.iterjobs()}
            assert owners == {"ours": "right", "for 1": "wrong1", "for -1": "wrong-1"}
        assert [worker.try_to_claim("ours") for worker in workers] == [refused, refused]
        for board, job in zip(boards, ours, strict=True):
            board.consume(job, "right")
        assert [worker.finish() for worker in workers] == ["consumed", "consumed"]
        assert [board.job_count for board in boards] == [0] * len(boards)


def test_due_times_go_by_the_clock_of_whoever_looks(redis_url):
    """As is written in the documentation: who is an hour ahead finds due what is due within the hour."""
    name, soon = f"b{uuid.uuid4().hex}", time.time() + HOUR / 2
    with (
        backends.fetch(name, redis_url) as board,
        backends.fetch(name, redis_url, clock=Wrong(-1)) as behind,
        backends.fetch(name, redis_url, clock=Wrong(1)) as ahead,
    ):
        board.post("later", not_before=soon)
        board.post("early", expires_at=soon)
        for right in (board, behind):
            assert [job.name for job in right.iterjobs(only_unclaimed=True)] == ["early"]
        assert [job.name for job in ahead.iterjobs(only_unclaimed=True)] == ["later"]
        assert [(posting.name, posting.reason) for posting in board.dead_letters] == [
            ("early", "not claimed before it expired")
        ]
