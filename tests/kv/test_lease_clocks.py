"""Leases of stores without a server expire by the boot clock, whatever happens to the wall clock."""

import json
import sqlite3
import time
import zlib
from pathlib import Path

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.clock import SYSTEM, boot_id, boot_time
from stackl_flow.jobboards import backends as boards
from stackl_flow.kv import backends
from stackl_flow.kv.items import Put
from stackl_flow.testing.clock import SteppedClock

HOUR = 3600.0
FILES = ["sqlite:///{}/kv.db", "dir://{}/kv"]


@pytest.fixture(params=["memory://{}", *FILES])
def url(request, tmp_path):
    return request.param.format(tmp_path)


@pytest.fixture(params=FILES)
def file_url(request, tmp_path):
    return request.param.format(tmp_path)


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_the_wall_clock_is_stepped(url, step):
    """Stepped forward it ends no lease; stepped back it prolongs none."""
    clock = SteppedClock()
    with backends.fetch(url, clock=clock) as kv, backends.fetch(url, clock=clock) as other:
        lease = kv.grant(10)
        kv.commit(puts=[Put("a", "1", lease.id)])
        clock.step_wall(step)
        assert other.get("a").value == "1"
        clock.step(9)
        other.extend(lease)
        clock.step(9)
        assert [item.key for item in kv.list()] == ["a"]
        with backends.fetch(url, clock=clock) as late:
            assert late.get("a").value == "1"
            late.extend(lease)
            clock.step(11)
            assert late.get("a") is None
        assert other.list() == []
        with pytest.raises(exc.LeaseLost):
            kv.extend(lease)


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_jobs_while_the_wall_clock_is_stepped(url, step):
    """A running job is not claimed twice, and the job of a dead owner is free after its lease."""
    clock = SteppedClock()
    with (
        boards.fetch("b", {"board": url, "ttl": 30}, clock=clock) as board,
        boards.fetch("b", {"board": url, "ttl": 30}, clock=clock) as other,
    ):
        job = board.claim(board.post("one"), "dead")
        clock.step_wall(step)
        (seen,) = other.iterjobs()
        with pytest.raises(exc.UnclaimableJob):
            other.claim(seen, "late")
        clock.step(31)
        (seen,) = other.iterjobs()
        assert other.claim(seen, "late").uuid == job.uuid


@pytest.mark.parametrize("step", [0.0, -HOUR])
def test_a_reboot_ends_all_leases(file_url, step):
    """Also if the machine boots with a wall clock that is behind."""
    clock = SteppedClock()
    clock.step(5 * HOUR)
    with backends.fetch(file_url, clock=clock) as kv:
        lease = kv.grant(2 * HOUR)
        kv.commit(puts=[Put("a", "1", lease.id), Put("b", "1")])
    clock.reboot()
    clock.step_wall(step)
    clock.step(5)
    with backends.fetch(file_url, clock=clock) as kv, backends.fetch(file_url, clock=clock) as other:
        assert [item.key for item in kv.list()] == ["b"]
        assert other.get("a") is None
        new = kv.grant(10)
        kv.commit(puts=[Put("a", "2", new.id)])
        clock.step(9)
        assert other.get("a").value == "2"
        with pytest.raises(exc.LeaseLost):
            other.extend(lease)
        clock.step(2)
        assert other.get("a") is None


def test_the_clock_of_this_machine():
    assert boot_id(SYSTEM)
    first = boot_time(SYSTEM)
    assert first <= boot_time(SYSTEM) < first + 60


def test_a_clock_without_a_boot_time(file_url):
    """A clock of a program that has only the methods of earlier versions works as it did."""

    class Old:
        def __init__(self):
            self.time = 1000.0

        def now(self):
            return self.time

        monotonic = now

        def sleep(self, seconds):
            self.time += seconds

    clock = Old()
    with backends.fetch(file_url, clock=clock) as kv:
        kv.commit(puts=[Put("a", "1", kv.grant(10).id)])
        clock.sleep(9)
        assert kv.get("a").value == "1"
        clock.sleep(2)
        assert kv.get("a") is None


class WrongWall:
    """A clock of a program whose wall clock is wrong, with the methods of earlier versions only."""

    def __init__(self, hours):
        self._off = hours * HOUR

    def now(self):
        return time.time() + self._off

    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)


@pytest.mark.parametrize("hours", [1, -1])
def test_another_process_has_a_wrong_wall_clock(file_url, hours):
    with backends.fetch(file_url) as kv, backends.fetch(file_url, clock=WrongWall(hours)) as wrong:
        lease, theirs = kv.grant(60), wrong.grant(60)
        kv.commit(puts=[Put("a", "1", lease.id)])
        wrong.commit(puts=[Put("b", "1", theirs.id)])
        for store in (kv, wrong):
            assert [item.key for item in store.list()] == ["a", "b"]
            store.extend(lease)
            store.extend(theirs)


def forget_boot(path):
    """Make a store look as if an earlier version had written it."""
    if path.is_dir():
        journal = path / "journal"
        header, _, rest = journal.read_bytes().partition(b"\n")
        fields = json.loads(header.partition(b" ")[2])
        del fields["boot"]
        text = json.dumps(fields, separators=(",", ":")).encode()
        journal.write_bytes(b"%08x %s\n" % (zlib.crc32(text), text) + rest)
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("DROP TABLE kv_lease_time")


def test_a_store_of_an_earlier_version(file_url):
    """Leases by the wall clock are valid until they expire by it."""
    clock = SteppedClock()
    with backends.fetch(file_url, clock=clock) as kv:
        lease = kv.grant(100)
        kv.commit(puts=[Put("a", "1", lease.id)])
    forget_boot(Path("/" + file_url.partition("://")[2].lstrip("/")))
    clock.step(99)
    with backends.fetch(file_url, clock=clock) as kv:
        assert kv.get("a").value == "1"
        kv.commit(puts=[Put("b", "1")])
        assert kv.get("a").value == "1"
        clock.step_wall(HOUR)
        assert kv.get("a").value == "1"
        clock.step(2)
        assert kv.get("a") is None
