"""The etcd store passes the contract suites on a real server."""

import time
import uuid

import pytest

from stackl_flow.kv import backends
from stackl_flow.kv.items import Put
from stackl_flow.testing.contracts.kv import ProcessContract
from tests.support.kv_machine import ComparedKVContract


def test_pages_of_a_long_range(etcd_url):
    """The remembered bound of a long range makes its pages cheaper, and nothing is left out."""
    made = [f"p/{number:05}" for number in range(6000)]
    with backends.fetch(f"{etcd_url}/{uuid.uuid4()}") as kv:
        for start in range(0, len(made), 120):
            kv.commit(puts=[Put(key, key) for key in made[start : start + 120]])
        requests = []
        call = kv._client.call
        kv._client.call = lambda path, body: requests.append(body) or call(path, body)
        assert [item.key for item in kv.list("p/", limit=50)] == made[:50]
        assert [item.key for item in kv.list("p/", limit=50)] == made[:50]
        assert requests[-1]["range_end"] != requests[0]["range_end"]
        kv.commit(deletes=made[3:120], puts=[Put("p/0", "first")])
        assert [item.key for item in kv.list("p/", limit=5)] == ["p/0", *made[:3], made[120]]
        found = []
        while page := kv.list("p/", found[-1] if found else "", 700):
            found += [item.key for item in page]
        assert found == ["p/0", *made[:3], *made[120:]]


class TestEtcd(ComparedKVContract, ProcessContract):
    TTL = 1
    EXAMPLES = 20

    @pytest.fixture
    def open_kv(self, etcd_url):
        url = f"{etcd_url}/{uuid.uuid4()}"
        return lambda: backends.fetch(url)

    def pass_time(self, seconds):
        # The server looks for expired leases every half second.
        time.sleep(seconds if seconds < self.TTL else seconds + 0.6)
