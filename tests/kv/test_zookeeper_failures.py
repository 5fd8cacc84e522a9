"""Failures of a ZooKeeper server and of the network, races, and invalid URLs."""

import gc
import logging
import threading
import time
import uuid

import pytest
from kazoo.client import KazooClient

from stackl_flow import exceptions as exc
from stackl_flow.kv import backends
from stackl_flow.kv.items import ABSENT, Check, Lease, Put
from stackl_flow.testing.contracts.kv import add_one
from stackl_flow.testing.crash import start_child, wait_child
from tests.support.lossy_proxy import LossyProxy, LossyServerContract


@pytest.fixture
def url(zookeeper_url):
    return f"{zookeeper_url}/{uuid.uuid4()}"


@pytest.fixture
def raw(zookeeper_url):
    client = KazooClient(zookeeper_url.removeprefix("zookeeper://"))
    client.start()
    yield client
    client.stop()
    client.close()


class TestServer(LossyServerContract):
    TIMEOUT = 2.5  # kazoo's client takes half a second to reconnect

    @pytest.fixture
    def server(self, new_server):
        return new_server("zookeeper")


@pytest.mark.parametrize("cut_in", [1, 2, 3])
def test_commit_with_lost_answer_is_applied_once(zookeeper_url, cut_in):
    """Whichever answer is lost: of an increment, of a put without checks, of a put with a lease."""
    proxy, path = LossyProxy(int(zookeeper_url.rpartition(":")[2])), uuid.uuid4()
    with (
        backends.fetch(f"zookeeper://127.0.0.1:{proxy.port}/{path}") as cut,
        backends.fetch(f"{zookeeper_url}/{path}") as kv,
    ):
        lease = cut.grant(60)
        for number in range(4):
            proxy.cut_in = cut_in
            version = cut.commit(puts=[Put("unchecked", str(number))])
            assert (kv.get("unchecked").value, kv.get("unchecked").version) == (str(number), version)
            proxy.cut_in = cut_in
            add_one(cut)
            proxy.cut_in = cut_in
            version = cut.commit(puts=[Put(f"leased/{number}", "1", lease.id)])
            assert kv.get(f"leased/{number}").version == version
        proxy.cut_in = 0
        assert kv.get("count").value == "4"
        cut.revoke(lease)
        assert kv.list("leased") == []
    assert proxy.lost >= 4
    proxy.close()


def test_waiter_survives_session_expiry(url, raw):
    """It wakes when its session ends, and continues to wait in another one."""
    with backends.fetch(url) as kv:
        mark = kv.wait()
        client = kv._watch._connected()
        marks = []
        waiter = threading.Thread(target=lambda: marks.append(kv.wait("", mark, 30)))
        waiter.start()
        other = KazooClient(raw.hosts[0][0] + f":{raw.hosts[0][1]}", client_id=client.client_id)
        other.start()
        other.stop()  # ends the session of both clients
        other.close()
        with backends.fetch(url) as two:
            two.commit(puts=[Put("a", "1")])
        waiter.join(10)
        assert marks
        assert kv.get("a").value == "1"


def test_only_extend_keeps_lease(url):
    """Another process can extend it; that its owner is alive does not keep it."""
    with backends.fetch(url) as kv:
        lease = kv.grant(0.8)
        kv.commit(puts=[Put("a", "1", lease.id)])

        def extend():
            with backends.fetch(url) as other:
                for _ in range(8):
                    time.sleep(0.2)  # the server's clock cannot be stepped
                    other.extend(Lease(lease.id, lease.ttl))
                other.commit(puts=[Put("b", "1", lease.id)])

        assert wait_child(start_child(extend)) == 0
        kv.commit(puts=[Put("c", "1", lease.id)])
        assert [item.key for item in kv.list()] == ["a", "b", "c"]
        time.sleep(lease.ttl + 0.3)  # the same
        assert kv.list() == []
        with pytest.raises(exc.LeaseLost):
            kv.commit(puts=[Put("d", "1", lease.id)])


def test_node_created_again_during_commit(url):
    """The items of a lease are deleted without a write; a node that is created again looks the same."""
    with backends.fetch(url) as kv:
        first, second = kv.grant(60), kv.grant(60)
        version = kv.commit(puts=[Put("owner", "me", first.id)])
        read_snapshot = kv._read_snapshot

        def interfere(commit):
            snapshot = read_snapshot(commit)
            kv._read_snapshot = read_snapshot
            kv.revoke(first)
            kv.commit([Check("owner", ABSENT)], [Put("owner", "you", second.id)])
            return snapshot

        kv._read_snapshot = interfere
        with pytest.raises(exc.Conflict, match="owner"):
            kv.commit([Check("owner", version)], [Put("done", "1")])
        assert kv.get("done") is None


def test_first_of_many_without_reading_all(url, raw):
    """A folder of a time has few children, and is deleted when it is empty."""
    stamps = [f"{1763712345678901 + 40_000 * number:017d}" for number in range(500)]
    with backends.fetch(url) as kv:
        for start in range(0, 500, 100):
            kv.commit(puts=[Put(f"b/w/{stamp}-x", stamp) for stamp in stamps[start : start + 100]])
        sent = []
        send_once = kv._pool.send_once
        kv._pool.send_once = lambda requests: sent.extend(requests) or send_once(requests)
        assert [item.value for item in kv.list("b/w/", limit=1)] == stamps[:1]
        assert len(sent) <= 6
        assert [item.value for item in kv.list("b/w/", limit=3, reverse=True)] == stamps[:-4:-1]
        assert len(sent) <= 18
        assert [item.value for item in kv.list("b/w/")] == stamps
        for start in range(0, 500, 100):
            kv.commit(deletes=[f"b/w/{stamp}-x" for stamp in stamps[start : start + 100]])
        for _ in range(5):
            assert kv.list("b/w/") == []
        kv.commit(
            puts=[Put(f"b/w/{stamps[0]}-y", "again")]
        )  # its folders are known to the store, but deleted
        assert [item.value for item in kv.list("b/w/")] == ["again"]
    assert len(raw.get_children(f"/{url.rpartition('/')[2]}/items/db/dw")) == 1


def test_message_size_limit(url):
    with backends.fetch(url) as kv:
        puts = [Put(f"{'x' * 190}/{'y' * 190}/{number}", "v" * 600) for number in range(1100)]
        with pytest.raises(exc.ValueTooLarge, match=r"bytes.*write less at once"):
            kv.commit(puts=puts)
        assert kv.list() == []


def failure(url):
    with backends.fetch(url) as kv:
        try:
            kv.get("a")
        except exc.StorageFailure as error:
            return str(error)
    return ""


# kazoo leaves the sockets open when a TLS handshake fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_to_plain_server(zookeeper_url, caplog):
    caplog.set_level(logging.CRITICAL + 1, "kazoo")  # log records would keep the sockets beyond the test
    message = failure(f"{zookeeper_url}/x?timeout=0.5&use_ssl=yes")
    gc.collect()
    assert "TLS handshake: check use_ssl" in message


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("zookeeper://host:port/x", "host:port,host:port/path"),
        ("zookeeper://host:1//", "invalid path"),
        ("zookeeper://host:1/zookeeper/x", "invalid path"),
        ("zookeeper://host?colour=red", "unknown option"),
        ("zookeeper://host?use_ssl=yes&ca=/no/such/file", "'ca'.*does not exist"),
    ],
)
def test_invalid_urls(url, message):
    with pytest.raises(exc.InvalidFormat, match=message):
        backends.fetch(url)
