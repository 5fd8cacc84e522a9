"""What etcd's place does when the server, the network or the address is not as it should be."""

import http.client
import json
import uuid

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.kv import backends
from stackl_flow.kv.items import Check, Put
from tests.support.lossy_proxy import LosesAnswers, LossyServerContract


@pytest.fixture
def address(etcd_url):
    return f"{etcd_url}/{uuid.uuid4()}"


class TestServer(LossyServerContract):
    EVERY = 3

    @pytest.fixture
    def server(self, new_server):
        return new_server("etcd")


def test_a_commit_that_may_have_landed_before_others_wrote(etcd_url):
    """What cannot be known is said; it is neither called a conflict nor done again."""
    path = uuid.uuid4()
    with backends.fetch(f"{etcd_url}/{path}") as kv:
        version = kv.commit(puts=[Put("a", "1")])

        class Meddles(LosesAnswers):
            """Lets somebody else write whenever an answer is lost."""

            def _is_lost(self):
                if super()._is_lost():
                    kv.commit(puts=[Put("a", "theirs")])
                    return True
                return False

        proxy = Meddles(int(etcd_url.rpartition(":")[2]))
        proxy.cut_in = 1
        with (
            backends.fetch(f"etcd://127.0.0.1:{proxy.port}/{path}") as cut,
            pytest.raises(exc.StorageFailure, match="may have landed") as caught,
        ):
            cut.commit([Check("a", version)], [Put("a", "ours")])
        assert not isinstance(caught.value, exc.Conflict)
        assert kv.get("a").value == "theirs"
        proxy.close()


def test_changes_that_the_server_has_forgotten(etcd_url, address):
    """Whoever waits from before a compaction is told that something may have changed."""
    with backends.fetch(address) as kv:
        mark = kv.wait()
        kv.commit(puts=[Put("a", "1")])
        now = kv.commit(puts=[Put("b", "1")])
        host = http.client.HTTPConnection(etcd_url.removeprefix("etcd://"))
        host.request("POST", "/v3/kv/compaction", json.dumps({"revision": str(now)}))
        assert host.getresponse().status == 200
        host.close()
    with backends.fetch(address) as late:
        assert late.wait("a", mark, timeout=5) >= now


def test_paths_are_apart(etcd_url, address):
    host, _, port = etcd_url.removeprefix("etcd://").partition(":")
    conf = {"connection": "etcd", "host": host, "port": port, "path": f"/x/{uuid.uuid4()}/"}
    with backends.fetch(address) as one, backends.fetch(conf) as two:
        one.commit(puts=[Put("a", "1")])
        assert two.list() == []
        assert two.name == f"etcd://{host}:{port}/{conf['path'].strip('/')}"


def test_the_next_server_is_asked(etcd_url):
    servers = f"etcd://127.0.0.1:1,{etcd_url.removeprefix('etcd://')}/{uuid.uuid4()}"
    with backends.fetch(servers) as kv:
        kv.commit(puts=[Put("a", "1")])
        assert kv.get("a").value == "1"


def test_tls_that_the_server_does_not_speak(etcd_url):
    with (
        backends.fetch(f"{etcd_url}?protocol=https") as kv,
        pytest.raises(exc.StorageFailure, match=r"TLS.*ca_cert"),
    ):
        kv.get("a")


def test_a_gateway_that_is_elsewhere(etcd_url):
    with (
        backends.fetch(f"{etcd_url}?api_path=/v9/") as kv,
        pytest.raises(exc.StorageFailure, match=r"api_path"),
    ):
        kv.get("a")


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("etcd://host:http/x", "etcd://host:port/path"),
        ("etcd://host?protocol=gopher", "'http' or 'https'"),
        ("etcd://host?protocol=https&ca_cert=/no/such/file", "ca_cert"),
        ("etcd://host?colour=red", "unknown option"),
    ],
)
def test_addresses_that_make_no_sense(address, word):
    with pytest.raises(exc.InvalidFormat, match=word):
        backends.fetch(address)
