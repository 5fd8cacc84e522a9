"""Eight processes claim from one board: each job is run once, as the jobs themselves write down."""

import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path

from stackl_flow.jobboards import backends

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = 8
#: Seconds; far more than it takes.
LONG = 120


def run_all(address, jobs, tmp_path):
    """Post jobs, have eight processes claim them, and return who ran which."""
    ledger = tmp_path / "ledger"
    with backends.backend("many", address) as board:
        for number in range(jobs):
            board.post(f"job {number}", details={"number": number})
        claimers = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.jobboards.claimer", f"c{index}", address, str(ledger)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for index in range(PROCESSES)
        ]
        try:
            for claimer in claimers:
                assert claimer.stdout.readline() == "ready\n"
            for claimer in claimers:
                claimer.stdin.write("go\n")
                claimer.stdin.flush()
            assert [claimer.wait(LONG) for claimer in claimers] == [0] * PROCESSES
        finally:
            for claimer in claimers:
                claimer.kill()
                claimer.communicate()
        assert board.job_count == 0
        assert list(board.bin) == []
    return [line.split() for line in ledger.read_text().splitlines()]


def each_once(lines, jobs):
    assert Counter(int(number) for number, _ in lines) == dict.fromkeys(range(jobs), 1)
    assert len({name for _, name in lines}) > 1, "one process had them all: that proves nothing"


def test_sqlite(tmp_path):
    each_once(run_all(f"sqlite:///{tmp_path}/jobs.db", 1_000, tmp_path), 1_000)


def test_redis(redis_url, tmp_path):
    each_once(run_all(f"{redis_url}?namespace={uuid.uuid4()}", 1_000, tmp_path), 1_000)


def test_directory(tmp_path):
    # Fewer: each process reads every record of the journal, so eight of them do the work eightfold.
    each_once(run_all(f"dir://{tmp_path}/jobs", 200, tmp_path), 200)
