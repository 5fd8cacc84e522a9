"""A board in Redis passes the contract, with owners that are killed."""

import uuid

import pytest

from stackl_flow.jobboards import backends
from stackl_flow.testing.contracts.jobboards import JobBoardContract


class TestRedis(JobBoardContract):
    @pytest.fixture
    def address(self, redis_url):
        return f"{redis_url}?namespace={uuid.uuid4()}"


def test_settings_of_taskflow(redis_url):
    host, _, port = redis_url.removeprefix("redis://").partition("/")[0].partition(":")
    conf = {"board": "redis", "host": host, "port": port, "namespace": str(uuid.uuid4()), "socket_timeout": 5}
    with backends.backend("work", conf) as board, backends.backend("work", conf) as other:
        job = board.post("one")
        assert [each.uuid for each in other.iterjobs()] == [job.uuid]
