"""Faults are injected where they are asked for; without faults the wrappers pass the contract suites."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.jobboards import backends as boards
from stackl_flow.kv import backends as stores
from stackl_flow.kv.items import Put
from stackl_flow.persistence import backends, factory
from stackl_flow.testing.clock import SteppedClock
from stackl_flow.testing.contracts.jobboards import JobBoardContract
from stackl_flow.testing.contracts.kv import KVContract
from stackl_flow.testing.contracts.persistence import PersistenceContract
from stackl_flow.testing.faults import (
    Fault,
    Faults,
    FaultyBackend,
    FaultyKV,
    Kind,
    driver_error,
    each_call,
    faulty_board,
)


class TestKVWithoutFaults(KVContract):
    clock = SteppedClock()

    @pytest.fixture
    def open_kv(self):
        url = f"memory://{uuid.uuid4()}"
        return lambda: FaultyKV(stores.fetch(url, clock=self.clock), Faults())

    def pass_time(self, seconds):
        self.clock.step(seconds)


class TestSQLiteWithoutFaults(KVContract):
    clock = SteppedClock()

    @pytest.fixture
    def open_kv(self, tmp_path):
        return lambda: FaultyKV(stores.fetch(f"sqlite:///{tmp_path}/kv.db", clock=self.clock), Faults())

    def pass_time(self, seconds):
        self.clock.step(seconds)


class TestBackendWithoutFaults(PersistenceContract):
    @pytest.fixture
    def backend(self):
        with backends.backend("memory") as backend:
            yield FaultyBackend(backend, Faults())


class TestBoardWithoutFaults(JobBoardContract):
    ttl = 30.0
    is_shared = False

    @pytest.fixture(autouse=True)
    def stepped(self):
        self.clock = SteppedClock()

    @pytest.fixture
    def address(self):
        return f"memory://{uuid.uuid4()}"

    @pytest.fixture
    def open_board(self, address):
        def open_it(**conf: Any) -> Any:
            board = boards.fetch(
                "contract", {"connection": address, "ttl": self.ttl, **conf}, clock=self.clock
            )
            wrapped = faulty_board(board, Faults())
            wrapped.connect()
            return wrapped

        return open_it

    def pass_time(self, seconds):
        self.clock.step(seconds)

    def kill_owner(self, open_board, uuid, owner):
        board = open_board()
        board.claim(next(job for job in board.iterjobs() if job.uuid == uuid), owner)
        self.clock.step(self.ttl + 1)


@pytest.fixture
def store():
    with stores.fetch("memory") as store:
        yield store


def put(kv: Any, key: str) -> int:
    return kv.commit(puts=[Put(key, "1")])


def test_a_call_fails_before_it_was_done(store):
    kv = FaultyKV(store, Faults(Fault(2)))
    put(kv, "a")
    with pytest.raises(exc.StorageFailure, match=r"'commit' failed, nothing was written"):
        put(kv, "b")
    put(kv, "c")
    assert [item.key for item in store.list()] == ["a", "c"]


def test_a_call_fails_after_it_was_done(store):
    kv = FaultyKV(store, Faults(Fault(1, Kind.AFTER)))
    with pytest.raises(exc.StorageFailure, match="its outcome is unknown"):
        put(kv, "a")
    assert store.get("a")


def test_a_call_hangs_until_it_is_released(store):
    faults = Faults(Fault(1, Kind.HANG))
    kv, done = FaultyKV(store, faults), threading.Event()

    def work() -> None:
        put(kv, "a")
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert not done.wait(0.05)
    assert store.get("a") is None
    faults.release()
    assert done.wait(30)
    thread.join()
    assert store.get("a")


def test_a_call_hangs_for_some_seconds_at_most(store):
    kv = FaultyKV(store, Faults(Fault(1, Kind.HANG, seconds=0.01)))
    assert put(kv, "a")


def test_leases_expire_before_a_call(store):
    kv = FaultyKV(store, Faults(Fault(2, Kind.EXPIRE, methods=["commit"])))
    lease = kv.grant(30)
    kv.commit(puts=[Put("a", "1", lease.id)])
    with pytest.raises(exc.LeaseLost):
        kv.commit(puts=[Put("b", "1", lease.id)])
    assert store.list() == []


def test_only_the_calls_of_some_methods_are_numbered(store):
    faults = Faults(Fault(2, methods=["commit"]))
    kv = FaultyKV(store, faults)
    kv.get("a")
    put(kv, "a")
    kv.list()
    with pytest.raises(exc.StorageFailure):
        put(kv, "b")
    assert faults.injected == ["commit"]
    assert faults.calls == ["get", "commit", "list", "commit"]


@pytest.mark.parametrize(("times", "failed"), [(1, 1), (3, 3), (None, 6)])
def test_several_calls_in_a_row_fail(times, failed, store):
    faults = Faults(Fault(2, times=times))
    kv = FaultyKV(store, faults)
    for _ in range(7):
        try:
            kv.get("a")
        except exc.StorageFailure:
            continue
    assert len(faults.injected) == failed
    faults.release()
    assert kv.get("a") is None


def test_a_driver_error(store):
    with pytest.raises(ConnectionResetError, match="injected"):
        FaultyKV(store, Faults(Fault(1, error=driver_error))).list()


def test_faults_that_are_added_are_numbered_from_then_on(store):
    faults = Faults()
    kv = FaultyKV(store, faults)
    put(kv, "a")
    faults.add(Fault(2))
    put(kv, "b")
    with pytest.raises(exc.StorageFailure):
        put(kv, "c")


def run_seeded(store: Any, seed: int) -> list[int]:
    kv = FaultyKV(store, Faults.seeded(seed, calls=100, rate=0.2, kinds=[Kind.BEFORE, Kind.AFTER]))
    failed = []
    for number in range(200):
        try:
            put(kv, f"k{number}")
        except exc.StorageFailure:
            failed.append(number)
    return failed


def test_a_seed_selects_the_same_faults_each_time(store):
    first = run_seeded(store, 1)
    assert first == run_seeded(store, 1) != run_seeded(store, 2)
    assert 5 < len(first) < 40
    assert max(first) < 100


def test_each_call_has_a_plan_and_the_last_one_no_fault(store):
    plans = []
    for faults in each_call([Kind.BEFORE, Kind.AFTER], methods=["commit"]):
        kv = FaultyKV(store, faults)
        for key in "ab":
            try:
                put(kv, key)
            except exc.StorageFailure:
                break
        plans.append(len(faults.injected))
    assert plans == [1, 1, 0, 1, 1, 0]


def test_faults_of_a_backend():
    faults = Faults(Fault(1, Kind.AFTER, methods=["save_logbook"]))
    with backends.backend("memory") as backend:
        with pytest.raises(exc.StorageFailure):
            factory.temporary_log_book(FaultyBackend(backend, faults))
        with backend.get_connection() as connection:
            assert len(connection.get_logbooks()) == 1


def test_faults_of_a_board_and_of_its_jobs():
    faults = Faults(Fault(1, methods=["consume"]), Fault(1, methods=["get_snapshot"]))
    with boards.backend("work", "memory") as real:
        board = faulty_board(real, faults)
        job = board.post("one")
        with pytest.raises(exc.StorageFailure):
            _ = job.state
        (waiting,) = board.iterjobs()
        assert waiting.board is board
        board.claim(job, "me")
        with pytest.raises(exc.StorageFailure):
            board.consume(job, "me")
        board.consume(job, "me")
        assert real.job_count == 0
