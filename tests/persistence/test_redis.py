"""The contract, on Redis, and a flow that is resumed after its process was killed."""

import os
import signal
import uuid

import pytest
import redis

from stackl_flow import engines, exceptions, states
from stackl_flow.patterns.linear_flow import Flow
from stackl_flow.persistence import backends, models
from stackl_flow.task import Task
from stackl_flow.testing.contracts.persistence import PersistenceContract
from stackl_flow.testing.crash import in_child


@pytest.fixture
def url(redis_url):
    return f"{redis_url}?namespace={uuid.uuid4()}"


class TestRedis(PersistenceContract):
    @pytest.fixture
    def backend(self, url):
        with backends.backend(url) as backend:
            yield backend


class First(Task):
    default_provides = "number"

    def execute(self):
        return 41


class Second(Task):
    default_provides = "sum"

    def execute(self, number, dies):
        if dies and os.getpid() == dies:
            os.kill(os.getpid(), signal.SIGKILL)
        return number + 1


def make_flow():
    return Flow("sum").add(First("first"), Second("second"))


def test_a_flow_is_resumed_after_a_crash(url):
    def work():
        with backends.backend(url) as backend:
            engines.run(make_flow(), store={"dies": os.getpid()}, backend=backend)

    assert in_child(work) == -signal.SIGKILL
    with backends.fetch(url) as backend:
        with backend.get_connection() as conn:
            (book,) = conn.get_logbooks()
        (flow,) = book
        assert {atom.name: atom.state for atom in flow}["first"] == states.SUCCESS
        engine = engines.load(make_flow(), flow_detail=flow, book=book, backend=backend)
        engine.run()
        assert engine.storage.fetch("sum") == 42


def test_round_trips_of_a_job(new_server):
    """Two to read its logbook, two to take ownership of its flow, one to start, and one after each task."""
    server = new_server("redis")

    def round_trips():
        with redis.Redis.from_url(server.url) as asked:
            return asked.info("commandstats")["cmdstat_evalsha"]["calls"]

    with backends.backend(server.url) as backend:
        book = models.LogBook("book")
        engines.load_from_factory(make_flow, book=book, store={"dies": 0}, backend=backend)
        before = round_trips()
        with backend.get_connection() as conn:
            (flow,) = conn.get_logbook(book.uuid)
        engine = engines.load_from_detail(flow, backend=backend)
        engine.run()
        assert engine.storage.fetch("sum") == 42
        assert round_trips() - before == 7


def test_a_store_that_was_not_prepared(url):
    with (
        backends.fetch(url) as backend,
        backend.get_connection() as conn,
        pytest.raises(exceptions.StorageFailure, match="is not prepared"),
    ):
        conn.validate()
