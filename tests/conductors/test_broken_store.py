"""While the database of the flows is broken the claims of a job are not used up in a moment."""

import threading
import time

import pytest

from stackl_flow import states as st
from stackl_flow.conductors import backends
from tests.conductors.conftest import Office
from tests.conductors.test_takeover import LONG, eventually


@pytest.fixture
def office(tmp_path):
    office = Office(tmp_path, "", f"dir://{tmp_path}/flows")
    yield office
    office.close()


def test_jobs_wait_until_it_is_whole_again(office, tmp_path):
    """Ten claims in vain, and a job is quarantined: that is not to happen within a second."""
    jobs = [office.post("good") for _ in range(3)]
    (tmp_path / "flows").rename(tmp_path / "away")
    (tmp_path / "flows").write_text("no directory")
    conductor = backends.fetch("nonblocking", "me", office.board, persistence=office.store)
    running = threading.Thread(target=conductor.run)
    running.start()
    try:
        eventually(lambda: all(len(office.board.get_snapshot(job).record.claims) > 1 for job in jobs))
        time.sleep(0.5)  # without a pause they would be claimed a hundred times in it
        claims = [claim for job in jobs for claim in office.board.get_snapshot(job).record.claims]
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
