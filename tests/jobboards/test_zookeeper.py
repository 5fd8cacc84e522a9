"""A board in ZooKeeper passes the contract, with owners that are killed."""

import uuid

import pytest

from stackl_flow.jobboards import backends
from stackl_flow.testing.contracts.jobboards import JobBoardContract


class TestZooKeeper(JobBoardContract):
    @pytest.fixture
    def address(self, zookeeper_url):
        return f"{zookeeper_url}/{uuid.uuid4()}"


@pytest.mark.parametrize("form", [str, lambda hosts: [hosts], lambda hosts: dict([hosts.split(":")])])
def test_settings_of_taskflow(zookeeper_url, form):
    hosts = form(zookeeper_url.removeprefix("zookeeper://"))
    conf = {
        "board": "zookeeper",
        "hosts": hosts,
        "path": f"/taskflow/{uuid.uuid4()}",
        "check_compatible": True,
    }
    with backends.backend("work", conf) as board, backends.backend("work", conf) as other:
        job = board.post("one")
        assert [each.uuid for each in other.iterjobs()] == [job.uuid]
