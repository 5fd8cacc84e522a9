"""What etcd's place does when the server, the network or the address is not as it should be."""

import http.client
import json
import socket
import threading
import uuid
from contextlib import suppress

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.kv import backends
from stackl_flow.kv.items import Check, Put
from stackl_flow.testing.crash import start_child, wait_child
from stackl_flow.testing.kv import add_one


@pytest.fixture
def address(etcd_url):
    return f"{etcd_url}/{uuid.uuid4()}"


class LosesAnswers:
    """Passes all on to a server; every so many answers it cuts the connection instead of passing one on."""

    def __init__(self, url, every):
        host, _, port = url.removeprefix("etcd://").partition(":")
        self._server = (host, int(port))
        self._every = every
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.lost = self._answers = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            client, _ = self._listener.accept()
            threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client):
        with client, socket.create_connection(self._server) as server:
            threading.Thread(target=self._pump, args=(client, server), daemon=True).start()
            while answer := server.recv(1 << 16):
                self._answers += 1
                if self._answers % self._every == 0:
                    self.lost += 1
                    break
                client.sendall(answer)
            for end in (client, server):  # the other thread reads from them, too
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _pump(client, server):
        with suppress(OSError):
            while asked := client.recv(1 << 16):
                server.sendall(asked)
            server.shutdown(socket.SHUT_WR)


def test_a_commit_whose_answer_is_lost_lands_once(etcd_url):
    """Every third answer is lost: of counting, of writing without any check, of deleting."""
    proxy, path = LosesAnswers(etcd_url, every=3), uuid.uuid4()
    with (
        backends.fetch(f"etcd://127.0.0.1:{proxy.port}/{path}") as cut,
        backends.fetch(f"{etcd_url}/{path}") as kv,
    ):
        for number in range(20):
            version = cut.commit(puts=[Put("blind", str(number))])
            assert (kv.get("blind").value, kv.get("blind").version) == (str(number), version)
            add_one(cut)
        assert kv.get("count").value == "20"
        cut.commit(deletes=["blind", "count"])
        assert kv.list() == []
        lease = cut.grant(60)
        for _ in range(5):
            cut.extend(lease)
        cut.revoke(lease)
    assert proxy.lost > 10


def test_a_commit_that_may_have_landed_before_others_wrote(etcd_url):
    """What cannot be known is said; it is neither called a conflict nor done again."""
    path = uuid.uuid4()
    with backends.fetch(f"{etcd_url}/{path}") as kv:
        version = kv.commit(puts=[Put("a", "1")])

        class Meddles(LosesAnswers):
            """Lets somebody else write whenever an answer is lost."""

            def _pass(self, client):
                super()._pass(client)
                if self.lost == 1:
                    kv.commit(puts=[Put("a", "theirs")])
                    self._every = 1000

        proxy = Meddles(etcd_url, every=1)
        with (
            backends.fetch(f"etcd://127.0.0.1:{proxy.port}/{path}") as cut,
            pytest.raises(exc.StorageFailure, match="may have landed") as caught,
        ):
            cut.commit([Check("a", version)], [Put("a", "ours")])
        assert not isinstance(caught.value, exc.Conflict)
        assert kv.get("a").value == "theirs"


def test_server_killed_and_started_again(new_server):
    """What was committed is there, leases and waiters go on."""
    server = new_server("etcd")
    with backends.fetch(server.url) as kv:
        lease = kv.grant(60)
        kv.commit(puts=[Put("a", "1", lease.id)])
        mark = kv.wait()
        server.kill()
        restarted = threading.Timer(0.2, server.start)
        restarted.start()
        restarted.join()
        assert kv.get("a").value == "1"
        kv.extend(lease)
        kv.commit(puts=[Put("b", "1")])
        assert kv.wait("b", mark, timeout=5) != mark


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


def test_goes_on_in_a_forked_child(address):
    with backends.fetch(address) as kv:
        kv.commit(puts=[Put("count", "0")])
        mark = kv.wait("count")

        def work():
            for _ in range(10):
                add_one(kv)
            assert kv.wait("count", mark, timeout=5) != mark

        children = [start_child(work) for _ in range(3)]
        work()
        assert [wait_child(child) for child in children] == [0] * 3
        assert kv.get("count").value == "40"


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


def test_nobody_there():
    words = r"127.0.0.1:1/flows'.*did not answer within 0.5 s.*server runs"
    with (
        backends.fetch("etcd://127.0.0.1:1/flows?timeout=0.5") as kv,
        pytest.raises(exc.StorageFailure, match=words),
    ):
        kv.get("a")


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
