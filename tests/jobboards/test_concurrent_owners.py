"""Eight processes claim from one board: each job runs once."""

import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa

from stackl_flow.jobboards import backends

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = 8
#: Time-out in seconds, far more than it takes.
LONG = 120


def run_all(url, jobs, tmp_path):
    """Post jobs, have eight processes claim them, and return (job, owner) pairs."""
    log_file = tmp_path / "log_file"
    with backends.backend("many", url) as board:
        for number in range(jobs):
            board.post(f"job {number}", details={"number": number})
        claimers = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.jobboards.claimer_process", f"c{index}", url, str(log_file)],
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
        assert list(board.dead_letters) == []
    return [line.split() for line in log_file.read_text().splitlines()]


@pytest.fixture
def sqlite(tmp_path):
    return f"sqlite:///{tmp_path}/jobs.db"


@pytest.fixture
def directory(tmp_path):
    return f"dir://{tmp_path}/jobs"


@pytest.fixture
def redis(redis_url):
    return f"{redis_url}?namespace={uuid.uuid4()}"


@pytest.fixture
def etcd(etcd_url):
    return f"{etcd_url}/{uuid.uuid4()}"


@pytest.fixture
def zookeeper(zookeeper_url):
    return f"{zookeeper_url}/{uuid.uuid4()}"


@pytest.fixture
def postgresql(postgresql_url):
    name = f"many_{uuid.uuid4().hex}"
    engine = sa.create_engine(sa.make_url(postgresql_url).set(drivername="postgresql+psycopg"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
        yield postgresql_url.rpartition("/")[0] + f"/{name}"
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture
def mysql(mysql_url):
    name = f"many_{uuid.uuid4().hex}"
    engine = sa.create_engine(sa.make_url(mysql_url).set(drivername="mysql+pymysql"))
    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
        yield mysql_url.rpartition("/")[0] + f"/{name}"
        connection.execute(sa.text(f"DROP DATABASE {name}"))
    engine.dispose()


BACKENDS = ["sqlite", "directory", "redis", "etcd", "zookeeper", "postgresql", "mysql"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_thousand_jobs_are_run_once_each(backend, request, tmp_path):
    lines = run_all(request.getfixturevalue(backend), 1_000, tmp_path)
    assert Counter(int(number) for number, _ in lines) == dict.fromkeys(range(1_000), 1)
    assert len({name for _, name in lines}) > 1, "one process ran them all: nothing was concurrent"
