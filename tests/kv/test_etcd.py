"""etcd keeps the contract, on a real server."""

import time
import uuid

import pytest

from stackl_flow.kv import backends
from stackl_flow.testing.kv import KVContract


class TestEtcd(KVContract):
    TTL = 1
    EXAMPLES = 20

    @pytest.fixture
    def open_kv(self, etcd_url):
        address = f"{etcd_url}/{uuid.uuid4()}"
        return lambda: backends.fetch(address)

    def pass_time(self, seconds):
        # The server looks for leases that ran out only every half second.
        time.sleep(seconds if seconds < self.TTL else seconds + 0.6)
