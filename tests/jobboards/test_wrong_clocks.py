"""Processes whose clocks are an hour off neither steal nor lose claims."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from stackl_flow.jobboards import backends
from tests.jobboards.wrong_clock_process import TTL, WrongClock

ROOT = Path(__file__).resolve().parents[2]
HOUR = 3600.0
#: Stores with their own clock.
SERVERS = ["redis", "zookeeper", "etcd", "postgresql", "mysql"]


@pytest.fixture
def urls(request):
    """A store on each server."""
    servers = {server: request.getfixturevalue(f"{server}_url") for server in SERVERS}
    return [f"{url}/{uuid.uuid4()}" if at in {"zookeeper", "etcd"} else url for at, url in servers.items()]


class WrongClockProcess:
    """An owner whose clock is wrong."""

    def __init__(self, hours, board, urls, prefix=(), env=None):
        arguments = [
            *prefix,
            sys.executable,
            "-m",
            "tests.jobboards.wrong_clock_process",
            str(hours),
            (env or {}).get("WRONG_NAME", f"wrong{hours}"),
            board,
        ]
        arguments += urls
        self._process = subprocess.Popen(
            arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )

    def read(self):
        return self._process.stdout.readline().strip()

    def try_to_claim(self, name):
        self._process.stdin.write(f"{name}\n")
        self._process.stdin.flush()
        return self.read()

    def finish(self):
        self._process.stdin.close()
        report = self.read()
        assert self._process.wait(30) == 0
        return report

    def close(self):
        self._process.kill()
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def test_claims_do_not_depend_on_the_clocks_of_owners(urls):
    check_claims(urls, lambda hours, name: WrongClockProcess(hours, name, urls))


@pytest.fixture
def files(tmp_path):
    """The stores in files: all users of a file are on one machine, which has one boot clock."""
    return [f"sqlite:///{tmp_path}/jobs.db", f"dir://{tmp_path}/jobs"]


def test_claims_in_files_do_not_depend_on_the_wall_clock(files):
    check_claims(files, lambda hours, name: WrongClockProcess(hours, name, files))


@pytest.mark.skipif(shutil.which("faketime") is None, reason="needs faketime")
def test_claims_in_files_of_a_process_with_another_date(files):
    """What the process sees of the wall clock is wrong everywhere, also in libraries."""
    env = {**os.environ, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    check_claims(
        files,
        lambda hours, name: WrongClockProcess(
            0, name, files, ["faketime", "-f", f"{hours:+d}h"], {**env, "WRONG_NAME": f"wrong{hours}"}
        ),
    )


def check_claims(urls, start):
    """Check that owners whose clocks are an hour off neither steal nor lose claims."""
    name = f"b{uuid.uuid4().hex}"
    with contextlib.ExitStack() as stack:
        boards = [stack.enter_context(backends.fetch(name, {"board": url, "ttl": TTL})) for url in urls]
        workers = []
        for hours in (1, -1):
            workers.append(start(hours, name))
            stack.callback(workers[-1].close)
            for board in boards:
                board.post(f"for {hours}")
        ours = [board.claim(board.post("ours"), "right") for board in boards]
        refused, claimed = " ".join(["refused"] * len(boards)), " ".join(["claimed"] * len(boards))
        assert [worker.read() for worker in workers] == ["ready", "ready"]
        assert [worker.try_to_claim("ours") for worker in workers] == [refused, refused]
        for worker, hours in zip(workers, (1, -1), strict=True):
            assert worker.try_to_claim(f"for {hours}") == claimed
        time.sleep(TTL + 0.5)  # long enough for a lease to expire that is not extended
        for board in boards:
            owners = {job.name: board.find_owner(job) for job in board.iterjobs()}
            assert owners == {"ours": "right", "for 1": "wrong1", "for -1": "wrong-1"}
        assert [worker.try_to_claim("ours") for worker in workers] == [refused, refused]
        for board, job in zip(boards, ours, strict=True):
            board.consume(job, "right")
        assert [worker.finish() for worker in workers] == ["consumed", "consumed"]
        assert [board.job_count for board in boards] == [0] * len(boards)


def test_due_times_depend_on_the_clock_of_the_reader(redis_url):
    """As documented: to a process an hour ahead, a job that is due within the hour is due."""
    name, soon = f"b{uuid.uuid4().hex}", time.time() + HOUR / 2
    with (
        backends.fetch(name, redis_url) as board,
        backends.fetch(name, redis_url, clock=WrongClock(-1)) as behind,
        backends.fetch(name, redis_url, clock=WrongClock(1)) as ahead,
    ):
        board.post("later", not_before=soon)
        board.post("early", expires_at=soon)
        for right in (board, behind):
            assert [job.name for job in right.iterjobs(only_unclaimed=True)] == ["early"]
        assert [job.name for job in ahead.iterjobs(only_unclaimed=True)] == ["later"]
        assert [(record.name, record.reason) for record in board.dead_letters] == [
            ("early", "not claimed before it expired")
        ]
