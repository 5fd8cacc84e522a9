"""Failures of an etcd server and of the network, and invalid URLs."""

import http.client
import json
import uuid

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.kv import backends
from stackl_flow.kv.items import Check, Put
from tests.support.lossy_proxy import LossyProxy, LossyServerContract


@pytest.fixture
def url(etcd_url):
    return f"{etcd_url}/{uuid.uuid4()}"


class TestServer(LossyServerContract):
    EVERY = 3

    @pytest.fixture
    def server(self, new_server):
        return new_server("etcd")


def test_unknown_outcome_of_commit(etcd_url):
    """An unknown outcome is neither reported as a conflict nor retried."""
    path = uuid.uuid4()
    with backends.fetch(f"{etcd_url}/{path}") as kv:
        version = kv.commit(puts=[Put("a", "1")])

        class Interfering(LossyProxy):
            """Makes another client write whenever an answer is lost."""

            def _is_lost(self):
                if super()._is_lost():
                    kv.commit(puts=[Put("a", "other")])
                    return True
                return False

        proxy = Interfering(int(etcd_url.rpartition(":")[2]))
        proxy.cut_in = 1
        with (
            backends.fetch(f"etcd://127.0.0.1:{proxy.port}/{path}") as cut,
            pytest.raises(exc.StorageFailure, match="unknown whether the commit was applied") as caught,
        ):
            cut.commit([Check("a", version)], [Put("a", "own")])
        assert not isinstance(caught.value, exc.Conflict)
        assert kv.get("a").value == "other"
        proxy.close()


def test_wait_from_before_compaction(etcd_url, url):
    """A mark from before a compaction returns at once: something may have changed."""
    with backends.fetch(url) as kv:
        mark = kv.wait()
        kv.commit(puts=[Put("a", "1")])
        now = kv.commit(puts=[Put("b", "1")])
        host = http.client.HTTPConnection(etcd_url.removeprefix("etcd://"))
        host.request("POST", "/v3/kv/compaction", json.dumps({"revision": str(now)}))
        assert host.getresponse().status == 200
        host.close()
    with backends.fetch(url) as late:
        assert late.wait("a", mark, timeout=5) >= now


def test_paths_are_separate(etcd_url, url):
    host, _, port = etcd_url.removeprefix("etcd://").partition(":")
    conf = {"connection": "etcd", "host": host, "port": port, "path": f"/x/{uuid.uuid4()}/"}
    with backends.fetch(url) as one, backends.fetch(conf) as two:
        one.commit(puts=[Put("a", "1")])
        assert two.list() == []
        assert two.name == f"etcd://{host}:{port}/{conf['path'].strip('/')}"


def test_next_server_is_used(etcd_url):
    servers = f"etcd://127.0.0.1:1,{etcd_url.removeprefix('etcd://')}/{uuid.uuid4()}"
    with backends.fetch(servers) as kv:
        kv.commit(puts=[Put("a", "1")])
        assert kv.get("a").value == "1"


def test_tls_to_plain_server(etcd_url):
    with (
        backends.fetch(f"{etcd_url}?protocol=https") as kv,
        pytest.raises(exc.StorageFailure, match=r"TLS.*ca_cert"),
    ):
        kv.get("a")


def test_wrong_api_path(etcd_url):
    with (
        backends.fetch(f"{etcd_url}?api_path=/v9/") as kv,
        pytest.raises(exc.StorageFailure, match=r"api_path"),
    ):
        kv.get("a")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("etcd://host:http/x", "etcd://host:port/path"),
        ("etcd://host?protocol=gopher", "'http' or 'https'"),
        ("etcd://host?protocol=https&ca_cert=/no/such/file", "ca_cert"),
        ("etcd://host?colour=red", "unknown option"),
    ],
)
def test_invalid_urls(url, message):
    with pytest.raises(exc.InvalidFormat, match=message):
        backends.fetch(url)
