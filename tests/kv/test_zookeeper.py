"""The ZooKeeper store passes the contract suites on a real server."""

import uuid

import pytest

from stackl_flow.kv import backends
from stackl_flow.testing.contracts.kv import ProcessContract
from tests.support.kv_machine import ComparedKVContract


class TestZooKeeper(ComparedKVContract, ProcessContract):
    TTL = 1.0
    EXAMPLES = 15

    @pytest.fixture
    def open_kv(self, zookeeper_url):
        url = f"{zookeeper_url}/{uuid.uuid4()}"
        return lambda: backends.fetch(url)
