"""The heartbeat process may end or hang: no owner loses its lease for that."""

import signal
import time

import psutil
import pytest

from stackl_flow.coordination.leases import Leases, owner_key
from stackl_flow.kv import backends

#: Lease duration in seconds; it must outlive the start of a process, also on a busy machine.
TTL = 3.0
LONG = 30.0
PREFIX = "app/owner/"
HOLDERS = "app/holder/"


@pytest.fixture
def kv(tmp_path):
    with backends.fetch(f"dir://{tmp_path}/store") as kv:
        yield kv


@pytest.fixture
def lost():
    return []


@pytest.fixture
def leases(kv, lost):
    leases = Leases(kv, PREFIX, HOLDERS, TTL, lost.append)
    leases.use_heartbeat_process()
    yield leases
    leases.close()


def is_heartbeat(process):
    try:
        return "stackl_flow.coordination.heartbeat" in process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def heartbeats():
    return [child for child in psutil.Process().children() if is_heartbeat(child)]


def running_heartbeat(old=None):
    """Wait until a heartbeat process runs, other than an old one."""
    deadline = time.monotonic() + LONG
    while not (new := [each for each in heartbeats() if each != old]):
        assert time.monotonic() < deadline
        time.sleep(0.01)  # nothing notifies of the start of a process
    (process,) = new
    return process


def test_it_is_restarted_with_the_same_leases(kv, leases, lost):
    lease = leases.get("me")
    for _ in range(2):
        heartbeat = running_heartbeat()
        heartbeat.kill()
        running_heartbeat(heartbeat)
    time.sleep(TTL + 0.5)  # only the new process extends the lease meanwhile
    assert lost == []
    assert kv.get(owner_key(PREFIX, lease.id)).value == '"me"'
    assert leases.get("me") == lease


def test_a_lease_that_was_granted_while_there_is_none_is_extended_by_the_next(kv, leases, lost):
    heartbeat = running_heartbeat()
    heartbeat.kill()
    lease = leases.get("me")
    running_heartbeat(heartbeat)
    time.sleep(TTL + 0.5)  # as above
    assert lost == []
    assert kv.get(owner_key(PREFIX, lease.id)) is not None


def test_a_lost_lease_is_reported_and_another_granted(kv, leases, lost):
    lease = leases.get("me")
    kv.revoke(lease)
    deadline = time.monotonic() + LONG
    while not lost:
        assert time.monotonic() < deadline
        time.sleep(0.01)  # the callback is called from a thread
    assert lost == ["me"]
    assert leases.current_id("me") == ""
    assert leases.get("me") != lease


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP])
def test_closing_ends_it_in_any_state(kv, leases, sign):
    lease = leases.get("me")
    heartbeat = running_heartbeat()
    heartbeat.send_signal(sign)
    leases.close()
    assert heartbeats() == []
    assert kv.get(owner_key(PREFIX, lease.id)) is None
