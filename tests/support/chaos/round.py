"""One round: carries a plan out, waits until all jobs have finished, and checks their traces."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from stackl_flow.jobboards import backends as boards
from stackl_flow.jobboards.base import JobBoard
from stackl_flow.persistence import backends as stores
from tests.support.chaos.checker import check, violations
from tests.support.chaos.faults import FaultInjector, FaultyServer, Server
from tests.support.chaos.plan import INSTANT, Plan
from tests.support.chaos.poster import Poster
from tests.support.chaos.proxies import Proxies, Proxy
from tests.support.chaos.settings import BOARD, WorkerSettings
from tests.support.chaos.traces import JobTrace, collect_traces, format_trace
from tests.support.chaos.workers import Worker, Workers

#: Seconds to wait for conductors to start; the round starts without those that have not.
_READY_TIMEOUT: Final = 30.0
#: Seconds after the last fault until all jobs must have finished; far more than it takes.
_RECOVERY_TIMEOUT: Final = 90.0
#: Seconds between checks for conductors that have ended.
_POLL_INTERVAL: Final = 0.05


class Target(NamedTuple):
    """URLs of board and flows; connections to ports of ``servers`` go through proxies."""

    board: str
    flows: str
    servers: Sequence[Server] = ()


class Report(NamedTuple):
    """The result of a round; ``events`` are what was done and when (seconds from its start)."""

    plan: Plan
    events: Sequence[tuple[float, str]]
    traces: Sequence[JobTrace]
    violations: Sequence[str]

    def __str__(self) -> str:
        """Format all that helps to find the cause."""
        lines = [f"seed {self.plan.seed}: {len(self.violations)} violations", *self.violations, "events:"]
        lines += [f"  {at:6.2f}  {text}" for at, text in self.events]
        for trace in self.traces:
            if any(violations(trace, self.plan.workers)):
                lines += format_trace(trace)
        return "\n".join(lines)


class Round:
    """Runs one round; conductors and tasks write into its directory.

    Args:
        plan: what to do.
        target: the stores.
        directory: where conductors and tasks write.
        watch: called again and again with the conductors while the round runs.
    """

    def __init__(
        self, plan: Plan, target: Target, directory: Path, watch: Callable[[Workers], None] | None = None
    ) -> None:
        self._watch = watch
        self._plan = plan
        self._target = target
        self._effect_log, self._reports = directory / "effect_log", directory / "reports"
        self._directory = directory
        self._events: list[tuple[float, str]] = []
        self._start = time.monotonic()

    def run(self) -> Report:
        """Run it."""
        with contextlib.ExitStack() as stack:
            store = stack.enter_context(stores.backend(self._target.flows))
            board = stack.enter_context(boards.backend(BOARD, self._target.board, persistence=store))
            proxies = stack.enter_context(Proxies())
            own_proxies = [
                [proxies.make(s.port) for s in self._target.servers]
                for _ in range(self._plan.scale.conductors)
            ]
            workers = Workers([self._worker(index, own) for index, own in enumerate(own_proxies)])
            stack.callback(workers.close)
            servers = [FaultyServer(server) for server in self._target.servers]
            injector = FaultInjector(workers, own_proxies, servers, self._target.board, self._log)
            workers.start()
            self._wait_for_workers(board)
            self._start = time.monotonic()
            poster = Poster(self._plan.jobs, board, store, self._effect_log)
            posting = stack.enter_context(ThreadPoolExecutor(1)).submit(poster.run)
            stack.callback(poster.stop)
            self._inject(injector, workers)
            injector.close()
            self._log("end of faults")
            posting.result()
            unfinished = self._wait_for_jobs(poster, workers)
            workers.stop()
            self._log("conductors stopped")
            traces = collect_traces(poster.posted, board, store, self._effect_log, self._reports)
        found = [*unfinished, *workers.errors, *check(traces, self._plan.workers)]
        return Report(self._plan, tuple(self._events), traces, found)

    def _worker(self, index: int, proxies: Sequence[Proxy]) -> Worker:
        scale = self._plan.scale
        board, flows = self._target.board, self._target.flows
        for server, proxy in zip(self._target.servers, proxies, strict=True):
            board, flows = (_through(url, server.port, proxy.port) for url in (board, flows))
        return Worker(
            WorkerSettings(
                f"c{index}", board, flows, str(self._reports), scale.ttl, scale.slots, self._plan.workers
            ),
            self._directory,
        )

    def _log(self, text: str) -> None:
        self._events.append((time.monotonic() - self._start, text))

    def _wait_for_workers(self, board: JobBoard) -> None:
        """Wait until all conductors have registered: before that there is little to disturb."""
        until = time.monotonic() + _READY_TIMEOUT
        while len(board.membership.members()) < self._plan.scale.conductors and time.monotonic() < until:
            time.sleep(_POLL_INTERVAL)  # registration is not notified

    def _inject(self, injector: FaultInjector, workers: Workers) -> None:
        """Carry out the plan: each fault has a start, and an end if it has a duration."""
        faults = self._plan.faults
        actions = [(fault.at, injector.start, fault) for fault in faults]
        actions += [
            (fault.at + fault.duration, injector.end, fault) for fault in faults if fault.kind not in INSTANT
        ]
        for due, act, fault in sorted(actions, key=lambda action: action[0]):
            while (left := self._start + due - time.monotonic()) > 0:
                self._attend(workers)
                time.sleep(min(left, _POLL_INTERVAL))  # a plan has fixed times
            act(fault)

    def _attend(self, workers: Workers) -> None:
        workers.restart_ended()
        if self._watch is not None:
            self._watch(workers)

    def _wait_for_jobs(self, poster: Poster, workers: Workers) -> list[str]:
        """Wait until all jobs have finished; return a line for each that has not."""
        with ThreadPoolExecutor(1) as background:
            waiting = background.submit(poster.wait_finished, time.monotonic() + _RECOVERY_TIMEOUT)
            while not waiting.done():
                self._attend(workers)
                time.sleep(_POLL_INTERVAL)  # the end of a process is not notified
            left = waiting.result()
        return [
            f"job {spec.number} has not finished {_RECOVERY_TIMEOUT} s after the last fault" for spec in left
        ]


def _through(url: str, port: int, proxy: int) -> str:
    """Replace the port in a URL of that server by the port of a proxy."""
    parts = urlsplit(url)
    if parts.port != port:
        return url
    return urlunsplit(parts._replace(netloc=parts.netloc.removesuffix(f":{port}") + f":{proxy}"))
