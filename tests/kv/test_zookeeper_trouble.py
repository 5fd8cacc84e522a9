"""What ZooKeeper's place does when the server, the network or the address is not as it should be."""

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
from tests.support.lossy_proxy import LosesAnswers, LossyServerContract


@pytest.fixture
def address(zookeeper_url):
    return f"{zookeeper_url}/{uuid.uuid4()}"


@pytest.fixture
def raw(zookeeper_url):
    client = KazooClient(zookeeper_url.removeprefix("zookeeper://"))
    client.start()
    yield client
    client.stop()
    client.close()


class TestServer(LossyServerContract):
    TIMEOUT = 1.5  # kazoo's client takes half a second to notice that a server is there again

    @pytest.fixture
    def server(self, new_server):
        return new_server("zookeeper")


@pytest.mark.parametrize("cut_in", [1, 2, 3])
def test_a_commit_whose_answer_is_lost_lands_once(zookeeper_url, cut_in):
    """Whichever of its answers is lost: of counting, of writing without any check, of writing on a lease."""
    proxy, path = LosesAnswers(int(zookeeper_url.rpartition(":")[2])), uuid.uuid4()
    with (
        backends.fetch(f"zookeeper://127.0.0.1:{proxy.port}/{path}") as cut,
        backends.fetch(f"{zookeeper_url}/{path}") as kv,
    ):
        lease = cut.grant(60)
        for number in range(4):
            proxy.cut_in = cut_in
            version = cut.commit(puts=[Put("blind", str(number))])
            assert (kv.get("blind").value, kv.get("blind").version) == (str(number), version)
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


def test_a_waiter_outlives_its_session(address, raw):
    """It is woken when its session is over, and waits on in another."""
    with backends.fetch(address) as kv:
        mark = kv.wait()
        client = kv._watch._open()
        seen = []
        waiter = threading.Thread(target=lambda: seen.append(kv.wait("", mark, 30)))
        waiter.start()
        other = KazooClient(raw.hosts[0][0] + f":{raw.hosts[0][1]}", client_id=client.client_id)
        other.start()
        other.stop()  # ends the session that both have
        other.close()
        with backends.fetch(address) as two:
            two.commit(puts=[Put("a", "1")])
        waiter.join(10)
        assert seen
        assert kv.get("a").value == "1"


def test_a_lease_is_kept_by_another_process_and_by_nothing_else(address):
    """The owner's process lives, and that alone keeps nothing."""
    with backends.fetch(address) as kv:
        lease = kv.grant(0.8)
        kv.commit(puts=[Put("a", "1", lease.id)])

        def keep():
            with backends.fetch(address) as heart:
                for _ in range(8):
                    time.sleep(0.2)  # the server's clock is not ours to step
                    heart.extend(Lease(lease.id, lease.ttl))
                heart.commit(puts=[Put("b", "1", lease.id)])

        assert wait_child(start_child(keep)) == 0
        kv.commit(puts=[Put("c", "1", lease.id)])
        assert [item.key for item in kv.list()] == ["a", "b", "c"]
        time.sleep(lease.ttl + 0.3)  # the same
        assert kv.list() == []
        with pytest.raises(exc.LeaseLost):
            kv.commit(puts=[Put("d", "1", lease.id)])


def test_a_fence_made_anew_in_between_is_not_taken_for_the_old_one(address):
    """An item of a lease goes without anybody writing; made again, its node looks the same."""
    with backends.fetch(address) as kv:
        first, second = kv.grant(60), kv.grant(60)
        version = kv.commit(puts=[Put("owner", "me", first.id)])
        looked = kv._look

        def look(commit):
            seen = looked(commit)
            kv._look = looked
            kv.revoke(first)
            kv.commit([Check("owner", ABSENT)], [Put("owner", "you", second.id)])
            return seen

        kv._look = look
        with pytest.raises(exc.Conflict, match="owner"):
            kv.commit([Check("owner", version)], [Put("done", "1")])
        assert kv.get("done") is None


def test_the_first_of_many_is_found_without_reading_all(address, raw):
    """A folder of a time holds few, and is gone when it is empty."""
    stamps = [f"{1763712345678901 + 40_000 * number:017d}" for number in range(500)]
    with backends.fetch(address) as kv:
        for start in range(0, 500, 100):
            kv.commit(puts=[Put(f"b/w/{stamp}-x", stamp) for stamp in stamps[start : start + 100]])
        asked = []
        ask = kv._link.ask_once
        kv._link.ask_once = lambda requests: asked.extend(requests) or ask(requests)
        assert [item.value for item in kv.list("b/w/", limit=1)] == stamps[:1]
        assert len(asked) <= 6
        assert [item.value for item in kv.list("b/w/", limit=3, reverse=True)] == stamps[:-4:-1]
        assert len(asked) <= 18
        assert [item.value for item in kv.list("b/w/")] == stamps
        for start in range(0, 500, 100):
            kv.commit(deletes=[f"b/w/{stamp}-x" for stamp in stamps[start : start + 100]])
        for _ in range(5):
            assert kv.list("b/w/") == []
        kv.commit(puts=[Put(f"b/w/{stamps[0]}-y", "again")])  # whose folders we thought were there
        assert [item.value for item in kv.list("b/w/")] == ["again"]
    assert len(raw.get_children(f"/{address.rpartition('/')[2]}/items/db/dw")) == 1


def test_more_than_a_message_takes(address):
    with backends.fetch(address) as kv:
        puts = [Put(f"{'x' * 190}/{'y' * 190}/{number}", "v" * 600) for number in range(1100)]
        with pytest.raises(exc.StorageFailure, match=r"bytes, with their keys.*less at once"):
            kv.commit(puts=puts)
        assert kv.list() == []


def refusal(address):
    with backends.fetch(address) as kv:
        try:
            kv.get("a")
        except exc.StorageFailure as error:
            return str(error)
    return ""


# kazoo leaves the sockets open when the two do not agree on TLS.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_that_the_server_does_not_speak(zookeeper_url, caplog):
    caplog.set_level(logging.CRITICAL + 1, "kazoo")  # what is logged would hold the sockets beyond the test
    said = refusal(f"{zookeeper_url}/x?timeout=0.5&use_ssl=yes")
    gc.collect()
    assert "TLS: check use_ssl" in said


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("zookeeper://host:port/x", "host:port,host:port/path"),
        ("zookeeper://host:1//", "no path"),
        ("zookeeper://host:1/zookeeper/x", "no path"),
        ("zookeeper://host?colour=red", "unknown option"),
        ("zookeeper://host?use_ssl=yes&ca=/no/such/file", "'ca'.*no file"),
    ],
)
def test_addresses_that_make_no_sense(address, word):
    with pytest.raises(exc.InvalidFormat, match=word):
        backends.fetch(address)
