"""A board in etcd passes the contract, with owners that are killed."""

import time
import uuid

import pytest

from stackl_flow.jobboards import backends
from stackl_flow.testing.contracts.jobboards import JobBoardContract


class TestEtcd(JobBoardContract):
    @pytest.fixture
    def address(self, etcd_url):
        return f"{etcd_url}/{uuid.uuid4()}"

    def kill_owner(self, open_board, uuid, owner):
        super().kill_owner(open_board, uuid, owner)
        time.sleep(0.6)  # the server checks for expired leases only every half second


def test_settings_of_taskflow(etcd_url):
    host, _, port = etcd_url.removeprefix("etcd://").partition(":")
    conf = {"board": "etcd", "host": host, "port": int(port), "path": str(uuid.uuid4()), "ttl": 30}
    with backends.backend("work", conf) as board, backends.backend("work", conf) as other:
        job = board.post("one")
        assert [each.uuid for each in other.iterjobs()] == [job.uuid]
