"""Tasks that fork: the child touches neither the claim nor the flow of its parent, however it ends."""

from __future__ import annotations

import multiprocessing

import pytest

from stackl_flow.conductors import backends
from tests.conductors.conftest import Deployment
from tests.conductors.test_takeover import LONG, eventually


@pytest.fixture(params=["dir", "sqlite"])
def deployment(request, tmp_path):
    address = f"dir://{tmp_path}/board" if request.param == "dir" else f"sqlite:///{tmp_path}/board.db"
    deployment = Deployment(tmp_path, address)
    yield deployment
    deployment.close()


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("how", ["exit", "raise", "return", "multiprocessing"])
def test_a_task_that_forks(how, slots, deployment):
    deployment.start("first", "--slots", str(slots))
    job = deployment.post("forking", store={"how": how}, module="exits")
    assert job.result(LONG)["whose"] == "the parent's"
    assert deployment.done() == [("a", "execute"), ("b", "execute")]
    assert deployment.epochs() == [1]
    other = deployment.post("good")
    other.result(LONG)
    assert len(deployment.board.membership.members()) == 1


def test_a_child_that_leaves_the_board(deployment):
    """A child of ``multiprocessing``, started while jobs are claimed, uses its copy of the board and ends."""
    conductor = backends.fetch("nonblocking", "me", deployment.board, persistence=deployment.store)
    conductor.notifier.register("running_start", lambda *_, **__: leave_in_child(deployment.board))
    job = deployment.post("slow", store={"seconds": 0.5})
    conductor.run(max_dispatches=1)
    assert job.result(0)["seconds"] == 0.5
    assert len(deployment.board.get_snapshot(job).outcome) > 0
    eventually(lambda: len(deployment.board.membership.members()) == 1)


def leave_in_child(board):
    def leave():
        with board:
            pass

    child = multiprocessing.get_context("fork").Process(target=leave)
    child.start()
    child.join(LONG)
    assert child.exitcode is not None
