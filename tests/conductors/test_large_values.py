"""Conductors on stores that accept little: every job ends, and says what was too large."""

import pytest

from stackl_flow import FunctorTask, LinearFlow
from stackl_flow import exceptions as exc
from stackl_flow.conductors.conductor import Conductor
from stackl_flow.jobboards.board import KVBoard
from stackl_flow.kv.backends.memory import MemoryKV
from stackl_flow.kv.items import Limits
from stackl_flow.persistence.backends.kv import KVBackend
from stackl_flow.submission import post_flow


class SmallKV(MemoryKV):
    limits = Limits(value=100_000, commit=110_000, operations=60)


def large(size, count):
    flow = LinearFlow("large")
    for number in range(count):
        flow.add(FunctorTask(lambda: "x" * size, name=f"t{number}", provides=f"r{number}"))
    return flow


@pytest.fixture
def board_and_backend():
    with KVBackend("memory", store=SmallKV()) as backend:
        backend.get_connection().upgrade()
        with KVBoard("jobs", SmallKV(), backend) as board:
            yield board, backend


@pytest.mark.parametrize("slots", [1, 3])
def test_every_job_ends(board_and_backend, slots):
    board, backend = board_and_backend
    fits = post_flow(board, backend, large, factory_args=[10_000, 3])
    result_too_large = post_flow(board, backend, large, factory_args=[200_000, 1])
    outcome_too_large = post_flow(board, backend, large, factory_args=[60_000, 3])
    Conductor("me", board, backend, max_simultaneous_jobs=slots).run(max_dispatches=3)
    assert board.job_count == 0
    assert {name: len(text) for name, text in fits.result(0).items()} == dict.fromkeys(
        ("r0", "r1", "r2"), 10_000
    )
    outcomes = {}
    for job in (result_too_large, outcome_too_large):
        snapshot = board.get_snapshot(job)
        assert snapshot.state == "failed"
        outcomes[job] = snapshot.outcome["outcome"]
        with pytest.raises((exc.JobFailure, exc.WrappedFailure)) as caught:
            job.result(0)
        assert "bytes" in str(caught.value)
    # The flow of the one was reverted; that of the other succeeded, and only its outcome is too large.
    assert [outcomes[job]["state"] for job in (result_too_large, outcome_too_large)] == [
        "REVERTED",
        "SUCCESS",
    ]
    assert "atom 't0'" in outcomes[result_too_large]["failure"]["exception_str"]
    with backend.get_connection() as conn:
        states = sorted(flow.state for book in conn.get_logbooks() for flow in book)
    assert states == ["REVERTED", "SUCCESS", "SUCCESS"]
