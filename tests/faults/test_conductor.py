"""A fault in any call of a conductor: every job ends once, with its outcome and all its effects.

The conductor goes on after the fault, as it must: nothing here restarts it, except where a test says so.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from stackl_flow import exceptions as exc
from stackl_flow.conductors import backends as conductors
from stackl_flow.jobboards.board import KVBoard
from stackl_flow.jobboards.maintenance import QueuePolicy
from stackl_flow.kv import backends as stores
from stackl_flow.persistence import backends
from stackl_flow.submission import post_flow
from stackl_flow.testing.faults import (
    Faults,
    FaultyBackend,
    FaultyKV,
    Kind,
    driver_error,
    each_call,
    faulty_board,
)
from tests.crash.driver import AT_WORK
from tests.faults.factories import KINDS, RECORDS

#: Seconds of a lease: as short as a busy machine permits.
TTL = 1.0
#: Seconds within which all jobs must have ended; far more than it takes.
LONG = 30.0


class Deployment:
    """Stores for a board and for flows, seen without faults by the test and with faults by a conductor."""

    def __init__(self, board_url: str, flows_url: str) -> None:
        self.name = uuid.uuid4().hex
        self.record = RECORDS[self.name]
        self.board_url = board_url
        self.flows = backends.fetch(flows_url)
        with self.flows.get_connection() as connection:
            connection.upgrade()
        self.board = self.open_board(Faults(), self.flows)
        self.board.connect()
        self.posted: dict[str, Any] = {}
        self.kind_of: dict[int, str] = {}
        self.started: list[Any] = []
        self.failed_starts: list[BaseException] = []

    def open_board(self, faults: Faults, persistence: Any) -> KVBoard:
        kv = FaultyKV(stores.fetch(self.board_url), faults)
        return KVBoard("work", kv, persistence, ttl=TTL, policy=QueuePolicy(max_claims=10))

    def post(self, kinds: Any) -> None:
        for number, kind in enumerate(kinds):
            values = {"record": self.name, "job": number}
            job = post_flow(self.board, self.flows, f"tests.faults.factories:{kind}", store=values)
            self.posted[job.uuid] = job
            self.kind_of[number] = kind

    def start(self, name: str, board: Any, flows: Any, kind: str = "blocking", **options: Any) -> Any:
        """Run a conductor in a thread."""
        conductor = conductors.fetch(kind, name, board, persistence=flows, wait_timeout=0.02, **options)
        conductor._board.use_heartbeat_process = lambda: None  # a process would not have the faults
        thread = threading.Thread(target=self.run, args=(conductor,), name=name)
        thread.start()
        self.started.append((conductor, thread))
        return conductor

    def run(self, conductor: Any) -> None:
        """Run a conductor; like a supervisor, start it again if it cannot start."""
        for _ in range(5):
            try:
                conductor.run()
                break
            except (exc.StorageFailure, ConnectionError) as error:
                self.failed_starts.append(error)

    def wait_ended(self) -> None:
        """Wait until all jobs have ended."""
        until = time.monotonic() + LONG
        for job in self.posted.values():
            assert self.board.wait_for(job, max(0.0, until - time.monotonic())), self.describe()

    def stop(self) -> None:
        for conductor, _ in self.started:
            conductor.stop()
        for conductor, thread in self.started:
            thread.join(LONG)
            assert not thread.is_alive(), f"'{conductor.name}' does not stop"

    def describe(self) -> str:
        return "\n".join(
            [
                *(str(self.board.get_snapshot(job)) for job in self.posted),
                *(str(record) for record in self.board.dead_letters),
                *(str(line) for line in self.record.lines),
            ]
        )

    def check(self, repeats: int | None = 1, failure: str = "StepFailed") -> None:
        """Check what remains; at most that many calls were repeated, of atoms that had not ended."""
        assert self.board.job_count == 0
        assert not list(self.board.dead_letters)
        assert not self.record.overlaps
        done: dict[tuple[int, str], list[str]] = defaultdict(list)
        for job, atom, what in self.record.lines:
            done[job, atom].append(what)
        repeated = 0
        with self.flows.get_connection() as connection:
            for number, job in enumerate(self.posted.values()):
                state, calls = KINDS[self.kind_of[number]]
                snapshot = self.board.get_snapshot(job)
                assert snapshot.state == ("succeeded" if state == "SUCCESS" else "failed"), self.describe()
                found = snapshot.outcome["outcome"]
                assert found["state"] == state
                if state == "SUCCESS":
                    assert {name: found["result"][name] for name in calls} == {
                        name: f"{name} of {number}" for name in calls
                    }
                else:
                    assert failure in str(found["failure"])
                (flow,) = connection.get_logbook(job.book_uuid)
                assert flow.state == state
                history = connection.get_history(flow.uuid)
                for atom, expected in calls.items():
                    again = Counter(
                        each.new for each in history if each.atom == atom and each.old == each.new
                    )
                    extra = len(done[number, atom]) - len(expected)
                    assert 0 <= extra <= again.total(), (number, atom, done[number, atom], again)
                    assert not set(again) - AT_WORK
                    repeated += extra
                    assert without_repeats(done[number, atom]) == without_repeats(expected)
        assert repeats is None or repeated <= repeats

    def close(self) -> None:
        self.board.close()
        self.flows.close()
        RECORDS.pop(self.name, None)


def without_repeats(lines: list[str]) -> list[str]:
    return [line for number, line in enumerate(lines) if number == 0 or line != lines[number - 1]]


@pytest.fixture(params=["memory", "sqlite", "directory"])
def new_deployment(request, tmp_path) -> Iterator[Any]:
    made = []

    def make() -> Deployment:
        name = uuid.uuid4().hex
        urls = {
            "memory": ("memory://b{0}", "memory://f{0}"),
            "sqlite": ("sqlite:///{1}/{0}-b.db", "sqlite:///{1}/{0}-f.db"),
            "directory": ("dir://{1}/{0}-b", "dir://{1}/{0}-f"),
        }[request.param]
        made.append(Deployment(*(url.format(name, tmp_path) for url in urls)))
        return made[-1]

    # Files are slower, and differ from memory only below the calls that fail.
    make.step = 1 if request.param == "memory" else 4
    yield make
    for deployment in made:
        deployment.close()


def run_with(
    deployment: Deployment, faults: Faults, where: str, kind: str = "blocking", **options: Any
) -> None:
    """Run the posted jobs with one conductor that has faults in one of its stores."""
    flows = FaultyBackend(deployment.flows, faults) if where == "flows" else deployment.flows
    board: Any = deployment.open_board(faults if where == "store of the board" else Faults(), flows)
    if where == "board":
        board = faulty_board(board, faults)
    connect(board)
    deployment.start("me", board, flows, kind, **options)
    try:
        deployment.wait_ended()
    finally:
        faults.release()
        deployment.stop()
        board.close()


def connect(board: Any) -> None:
    """Connect a board, however often that fails."""
    while not board.connected:
        try:
            board.connect()
        except exc.StorageFailure:
            time.sleep(0.01)  # an outage has no end that could be waited for


PLACES = ("flows", "store of the board", "board")


@pytest.mark.slow
@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_fault_in_any_call(kind: str, where: str, new_deployment) -> None:
    for faults in each_call((Kind.BEFORE, Kind.AFTER), step=new_deployment.step):
        deployment = new_deployment()
        deployment.post([kind])
        # A board whose calls are done, and raise, has claims of which its conductor does not know.
        run_with(deployment, faults, where, rescue_after=0.3)
        deployment.check()


@pytest.mark.slow
@pytest.mark.parametrize("where", ["flows", "store of the board"])
@pytest.mark.parametrize("kind", ["good", "bad"])
def test_an_outage_from_any_call_on(kind: str, where: str, new_deployment) -> None:
    """The store cannot be used for a while, longer than a lease in every other outage."""
    for number, faults in enumerate(each_call((Kind.BEFORE,), times=None, step=4 * new_deployment.step)):
        deployment = new_deployment()
        deployment.post([kind])
        end = threading.Timer(1.5 * TTL if number % 2 else 0.2, faults.release)
        end.start()
        run_with(deployment, faults, where)
        end.join()
        deployment.check()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_many_faults_with_several_slots(seed: int, new_deployment) -> None:
    """Random faults in both stores of a conductor that runs two jobs at once."""
    deployment = new_deployment()
    deployment.post([*KINDS] * 2)
    faults = Faults.seeded(seed, calls=400, rate=0.06, kinds=(Kind.BEFORE, Kind.AFTER))
    board = deployment.open_board(faults, FaultyBackend(deployment.flows, faults))
    connect(board)
    flows = FaultyBackend(deployment.flows, faults)
    deployment.start("me", board, flows, "nonblocking", max_simultaneous_jobs=2)
    try:
        deployment.wait_ended()
    finally:
        faults.release()
        deployment.stop()
        board.close()
    assert faults.injected
    deployment.check(repeats=None)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["good", "bad"])
@pytest.mark.parametrize("where", ["flows", "store of the board", "both"])
def test_another_conductor_takes_over_when_all_calls_hang(kind: str, where: str, new_deployment) -> None:
    """From any call on, all calls of one conductor hang: the other runs the job, and the late one nothing."""
    for faults in each_call((Kind.HANG,), times=None, step=5 * new_deployment.step):
        deployment = new_deployment()
        deployment.post([kind])
        nothing = Faults()
        flows = FaultyBackend(deployment.flows, nothing if where == "store of the board" else faults)
        board = deployment.open_board(nothing if where == "flows" else faults, flows)
        late = threading.Thread(target=connect_and_run, args=(deployment, board, flows))
        late.start()
        if where == "flows":  # its heartbeat goes on: only the hanging conductor can run the job
            threading.Timer(0.3, faults.release).start()
        until = time.monotonic() + LONG
        while not faults.injected and deployment.board.job_count:
            assert time.monotonic() < until
            time.sleep(0.001)  # for the call that hangs
        other = deployment.open_board(nothing, deployment.flows)
        other.connect()
        deployment.start("other", other, deployment.flows)
        try:
            deployment.wait_ended()
        finally:
            faults.release()
            late.join(LONG)
            assert not late.is_alive()
            deployment.stop()
            other.close()
            board.close()
        deployment.check()


def connect_and_run(deployment: Deployment, board: Any, flows: Any) -> None:
    board.connect()
    deployment.start("late", board, flows)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["good", "bad"])
def test_leases_that_expire_before_any_call(kind: str, new_deployment) -> None:
    for faults in each_call((Kind.EXPIRE,), step=new_deployment.step):
        deployment = new_deployment()
        deployment.post([kind])
        run_with(deployment, faults, "store of the board")
        deployment.check()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["good", "bad"])
def test_a_driver_error_in_any_call_of_the_flows(kind: str, new_deployment) -> None:
    """An error that a backend did not translate is not the flow's: its rollback is not lost."""
    for faults in each_call((Kind.BEFORE, Kind.AFTER), errors=[driver_error]):
        deployment = new_deployment()
        deployment.post([kind])
        run_with(deployment, faults, "flows")
        deployment.check(failure="")  # the flow's, or the driver's if that came last
