"""An outage of the flows' database does not use up the claims of a job."""

import threading
import time

import pytest

from stackl_flow import states as st
from stackl_flow.conductors import backends
from tests.conductors.conftest import Deployment
from tests.conductors.test_takeover import LONG, eventually


@pytest.fixture
def deployment(tmp_path):
    deployment = Deployment(tmp_path, "", f"dir://{tmp_path}/flows")
    yield deployment
    deployment.close()


def test_jobs_are_deferred_until_it_is_back(deployment, tmp_path):
    """A job becomes a dead letter after ten failed claims, which must not happen within a second."""
    jobs = [deployment.post("good") for _ in range(3)]
    (tmp_path / "flows").rename(tmp_path / "away")
    (tmp_path / "flows").write_text("no directory")
    conductor = backends.fetch("nonblocking", "me", deployment.board, persistence=deployment.store)
    running = threading.Thread(target=conductor.run)
    running.start()
    try:
        eventually(lambda: all(len(deployment.board.get_snapshot(job).record.claims) > 1 for job in jobs))
        time.sleep(0.5)  # without a delay they would be claimed a hundred times in it
        claims = [claim for job in jobs for claim in deployment.board.get_snapshot(job).record.claims]
        (tmp_path / "flows").unlink()
        (tmp_path / "away").rename(tmp_path / "flows")
        for job in jobs:
            assert job.result(LONG)["second"] == "b"
    finally:
        conductor.stop()
        running.join()
    assert len(claims) <= 5 * len(jobs)
    assert {claim.ended for claim in claims} <= {"deferred", ""}
    assert {job.state for job in jobs} == {st.COMPLETE}
