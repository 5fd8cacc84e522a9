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

    def check(self, repeats: int | None = 1) -> None:
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
                    assert "StepFailed" in str(found["failure"])
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
    try:
        board.connect()
    except exc.StorageFailure:
        assert faults.injected
        board.connect()
    deployment.start("me", board, flows, kind, **options)
    try:
        deployment.wait_ended()
    finally:
        faults.release()
        deployment.stop()
        board.close()


PLACES = ("flows", "store of the board", "board")


@pytest.mark.slow
@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_fault_in_any_call(kind: str, where: str, new_deployment) -> None:
    # A board whose calls are done, and raise, keeps claims of which its conductor does not know.
    for faults in each_call((Kind.BEFORE,) if where == "board" else (Kind.BEFORE, Kind.AFTER)):
        deployment = new_deployment()
        deployment.post([kind])
        run_with(deployment, faults, where)
        deployment.check()
