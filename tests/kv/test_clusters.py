"""Stores on clusters of three servers that lose one."""

import itertools
import threading
import uuid

import pytest

from stackl_flow import states as st
from stackl_flow.kv import backends
from stackl_flow.kv.items import Put
from stackl_flow.testing.contracts.kv import ItemContract, KeyContract, add_one
from tests.conductors.conftest import Deployment
from tests.conductors.test_takeover import LONG, eventually

pytestmark = pytest.mark.slow

KINDS = ["etcd", "zookeeper"]


@pytest.fixture(scope="module", params=KINDS)
def cluster(request, new_cluster):
    return new_cluster(request.param)


class TestCluster(ItemContract, KeyContract):
    """A commit through one server is visible through the others."""

    @pytest.fixture
    def open_kv(self, cluster):
        scheme, _, hosts = cluster.url.partition("://")
        hosts = hosts.split(",")
        turns = itertools.cycle([[*hosts[first:], *hosts[:first]] for first in range(len(hosts))])
        path = uuid.uuid4()
        return lambda: backends.fetch(f"{scheme}://{','.join(next(turns))}/{path}")


def test_leader_killed_during_commits(cluster):
    """Commits are applied once; leases and waiters continue."""
    with backends.fetch(f"{cluster.url}/{uuid.uuid4()}?timeout=30") as kv:
        lease = kv.grant(15)
        kv.commit(puts=[Put("leased", "1", lease.id), Put("count", "0")])
        mark = kv.wait("end")
        woken = []
        waiter = threading.Thread(target=lambda: woken.append(kv.wait("end", mark, LONG)))
        counter = threading.Thread(target=lambda: [add_one(kv) for _ in range(100)])
        waiter.start()
        counter.start()
        eventually(lambda: int(kv.get("count").value) >= 10)
        leader = cluster.leader()
        leader.kill()
        counter.join(2 * LONG)
        assert kv.get("count").value == "100"
        kv.extend(lease)
        assert kv.get("leased").lease == lease.id
        kv.commit(puts=[Put("end", "1")])
        waiter.join(LONG)
        assert woken[0] != mark
    leader.start()


def test_hanging_member_is_skipped(cluster):
    """It accepts connections and does not answer; the other members have all items."""
    hung = next(member for member in cluster.members if not member.is_leader)
    others = [member.url.partition("://")[2] for member in cluster.members if member is not hung]
    with backends.fetch(f"{','.join([hung.url, *others])}/{uuid.uuid4()}?timeout=8") as kv:
        hung.freeze()
        try:
            kv.commit(puts=[Put("a", "1")])
            assert [item.value for item in kv.list()] == ["1"]
        finally:
            hung.thaw()


def test_claims_survive_leader_failure(cluster, tmp_path):
    """A job that was claimed before is finished by its owner; each job runs once."""
    deployment = Deployment(tmp_path, *(f"{cluster.url}/{uuid.uuid4()}?timeout=30" for _ in range(2)))
    try:
        for name in ("first", "second"):
            deployment.start(name, "--slots", "2", "--lease-ttl", "15")
        slow = deployment.post("slow", store={"seconds": 6})
        eventually(lambda: deployment.board.find_owner(slow) is not None)
        owner = deployment.board.find_owner(slow)
        jobs = [deployment.post("good") for _ in range(3)]
        leader = cluster.leader()
        leader.kill()
        jobs += [deployment.post("good") for _ in range(3)]
        assert deployment.board.find_owner(slow) == owner
        for job in (slow, *jobs):
            job.result(2 * LONG)
        with deployment.store.get_connection() as conn:
            records = conn.list_flow_records()
        assert [record.state for record in records] == [st.SUCCESS] * 7
        again = sum(record.epoch - 1 for record in records)  # the answer of a checkpoint was lost
        assert sorted(set(deployment.done())) == [("a", "execute"), ("b", "execute")]
        assert 14 <= len(deployment.done()) <= 14 + again
        assert deployment.board.job_count == 0
    finally:
        deployment.close()
    leader.start()
