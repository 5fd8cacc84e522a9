"""Flows are checked before they are stored and posted, by the library and on the command line alike."""

import subprocess
import sys
from pathlib import Path

import pytest

from stackl_flow import exceptions as exc
from stackl_flow import task
from stackl_flow.control import boards as control
from stackl_flow.engines.values import META_INJECTED
from stackl_flow.jobboards import backends as boards
from stackl_flow.kv.backends.memory import MemoryKV
from stackl_flow.kv.items import Limits
from stackl_flow.patterns import linear_flow
from stackl_flow.persistence import backends
from stackl_flow.persistence.backends.kv import KVBackend
from stackl_flow.submission import post_flow, post_flows


class Charge(task.Task):
    def execute(self, card, amount):
        return f"{card}: {amount}"


def order(amount=None, broken=False):
    flow = linear_flow.Flow("order").add(Charge("charge", provides="receipt"))
    if amount is not None:
        flow = linear_flow.Flow("order").add(Charge("charge", inject={"amount": amount}))
    if broken:
        flow.add(Charge("charge"))
    return flow


class SmallKV(MemoryKV):
    limits = Limits(value=50_000, commit=50_000)


@pytest.fixture
def board():
    with boards.backend("work", "memory") as board:
        yield board


@pytest.fixture
def backend():
    with KVBackend("memory", store=SmallKV()) as backend:
        backend.get_connection().upgrade()
        yield backend


def _by_library(board, backend, store, **kwargs):
    return post_flow(board, backend, order, store=store, factory_kwargs=kwargs)


def _by_operator(board, backend, store, **kwargs):
    return control.post(board, backend, "tests.test_submission:order", kwargs, store)


@pytest.mark.parametrize("post", [_by_library, _by_operator])
@pytest.mark.parametrize(
    ("store", "kwargs", "error", "message"),
    [
        ({"card": 1}, {}, exc.MissingDependencies, "amount"),
        ({}, {"amount": 3}, exc.MissingDependencies, "card"),
        ({"card": object(), "amount": 1}, {}, exc.NotSerializable, "card"),
        ({"card": "x" * 50_000, "amount": 1}, {}, exc.ValueTooLarge, r"input 'card' has 50002 bytes.*50000"),
        (
            {"card": 1},
            {"amount": "x" * 60_000},
            exc.ValueTooLarge,
            "argument 'amount' .* has 60002",
        ),
        ({"card": 1, "amount": 1}, {"broken": True}, exc.Duplicate, "charge"),
    ],
)
def test_nothing_is_stored_of_a_flow_that_cannot_be_run(board, backend, post, store, kwargs, error, message):
    before = backend.kv.list()
    with pytest.raises(error, match=message) as caught:
        post(board, backend, store, **kwargs)
    if error is exc.ValueTooLarge:
        assert caught.value.size > caught.value.limit
    assert backend.kv.list() == before
    assert list(board.iterjobs()) == []


@pytest.mark.parametrize("post", [_by_library, _by_operator])
def test_a_flow_with_all_its_inputs_is_posted(board, backend, post):
    job = post(board, backend, {"card": 1, "amount": 2, "unused": 3})
    assert [each.uuid for each in board.iterjobs()] == [job.uuid]
    with backend.get_connection() as conn:
        (book,) = conn.get_logbooks()
        (detail,) = book
    assert detail.uuid == job.details["flow_uuid"]
    assert (detail.name, job.name, book.name) == ("order", "order", "order")
    assert detail.meta[META_INJECTED] == {"card": 1, "amount": 2, "unused": 3}


def test_the_command_line_says_the_same(tmp_path):
    url = f"sqlite:///{tmp_path}/flows.db"
    backends.fetch(url).get_connection().upgrade()
    command = [str(Path(sys.executable).with_name("stackl-flow")), "post", "tests.test_submission:order"]
    options = ["--board", url, "--db", url, "--json", "--store", "card=1"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    with boards.backend("default", url) as board, pytest.raises(exc.MissingDependencies) as caught:
        post_flow(board, backends.fetch(url), order, store={"card": 1})
    assert str(caught.value).partition(":")[0] in done.stdout + done.stderr
    with backends.fetch(url).get_connection() as conn:
        assert conn.get_logbooks() == []


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgresql", "redis", "etcd"])
def test_many_flows_are_posted_at_once(kind, tmp_path, request):
    """Each has its inputs, a job of its own and its options; a key that was posted before keeps its job."""
    if kind == "memory":
        url = f"memory://{tmp_path.name}"
    elif kind == "sqlite":
        url = f"sqlite:///{tmp_path}/f.db"
    else:
        url = request.getfixturevalue(f"{kind}_url")
        name = f"t{tmp_path.stat().st_ino}"
        url += {"redis": f"?namespace={name}", "etcd": f"/{name}", "postgresql": ""}[kind]
    with backends.backend(url) as backend, boards.backend(f"b{tmp_path.stat().st_ino}", url) as board:
        first = post_flow(board, backend, order, store={"card": "x", "amount": 0}, key=f"{tmp_path}-0")
        given = [
            {"store": {"card": "x", "amount": number}, "key": f"{tmp_path}-{number}", "priority": "HIGH"}
            for number in range(40)
        ]
        jobs = post_flows(board, backend, order, given)
        assert jobs[0].uuid == first.uuid
        assert len({job.uuid for job in jobs}) == 40
        with backend.get_connection() as conn:
            for number in (1, 39):
                detail = conn.get_flow_details(jobs[number].details["flow_uuid"])
                assert detail.meta[META_INJECTED] == {"card": "x", "amount": number}
                assert detail.meta["factory"]["name"] == "tests.test_submission:order"
        posted = {job.uuid for job in board.iterjobs()}
        assert posted >= {job.uuid for job in jobs}
        assert post_flows(board, backend, order, []) == []
        with pytest.raises(exc.MissingDependencies, match="amount"):
            post_flows(board, backend, order, [{"store": {"card": "x"}}])
        assert {job.uuid for job in board.iterjobs()} == posted
