"""Injects the faults of a plan into conductors, servers and connections."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Protocol

from stackl_flow import exceptions as exc
from stackl_flow.kv import backends as stores
from stackl_flow.kv.items import Lease, quote
from tests.support.chaos.plan import CONDUCTORS, SERVERS, Fault, FaultKind
from tests.support.chaos.proxies import Proxy
from tests.support.chaos.settings import BOARD
from tests.support.chaos.workers import Workers

#: Seconds by which a slow connection delays each message.
_SLOW: Final = 0.05
_SIGNALS: Final = {
    FaultKind.KILL: signal.SIGKILL,
    FaultKind.DRAIN: signal.SIGTERM,
    FaultKind.STOP: signal.SIGSTOP,
    FaultKind.FREEZE: signal.SIGSTOP,
}


class Server(Protocol):
    """A server on this machine that a test controls."""

    @property
    def port(self) -> int:
        """Its port, which never changes."""

    def start(self) -> None:
        """Start it with its data and wait until it is ready."""

    def stop(self) -> None:
        """Shut it down."""

    def kill(self) -> None:
        """Kill it."""

    def freeze(self) -> None:
        """Stop the process with SIGSTOP."""

    def thaw(self) -> None:
        """Continue it."""


class FaultyServer:
    """A server and a thread that injects its faults one after the other."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._up, self._frozen = True, False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="chaos-server")
        self._done: list[Future[None]] = []

    def start_fault(self, kind: FaultKind) -> None:
        """Stop, kill or freeze it; no effect if it is down already."""
        self._done.append(self._thread.submit(self._start_fault, kind))

    def end_fault(self) -> None:
        """Start or continue it."""
        self._done.append(self._thread.submit(self._end_fault))

    def close(self) -> None:
        """End all faults and wait until it is ready.

        Raises:
            Exception: it could not be started.
        """
        self.end_fault()
        self._thread.shutdown()
        for done in self._done:
            done.result()

    def _start_fault(self, kind: FaultKind) -> None:
        if not self._up:
            return
        if kind is FaultKind.STALL:
            self._server.freeze()
            self._frozen = True
            return
        self._thaw()
        self._up = False
        if kind is FaultKind.CRASH:
            self._server.kill()
        else:
            self._server.stop()

    def _end_fault(self) -> None:
        self._thaw()
        if not self._up:
            self._server.start()
            self._up = True

    def _thaw(self) -> None:
        if self._frozen:
            self._server.thaw()
            self._frozen = False


class FaultInjector:
    """Injects the faults of one round.

    Args:
        workers: the conductors.
        proxies: for each conductor, its proxy to each server.
        servers: the servers.
        board: URL of the board, to revoke leases.
        log: called with a line for each start and end of a fault.
    """

    def __init__(
        self,
        workers: Workers,
        proxies: Sequence[Sequence[Proxy]],
        servers: Sequence[FaultyServer],
        board: str,
        log: Callable[[str], None],
    ) -> None:
        self._workers = workers
        self._proxies = proxies
        self._servers = servers
        self._board = board
        self._log = log
        self._background = ThreadPoolExecutor(1, thread_name_prefix="chaos-faults")
        self._done: list[Future[None]] = []

    def start(self, fault: Fault) -> None:
        """Start a fault."""
        self._log(
            f"{fault.kind.value} {self._describe(fault)}"
            + (f" for {fault.duration} s" if fault.duration else "")
        )
        if fault.kind in SERVERS:
            self._servers[fault.target].start_fault(fault.kind)
        elif fault.kind in CONDUCTORS:
            self._disturb_conductor(fault)
        else:
            self._disturb_connections(fault, on=True)

    def end(self, fault: Fault) -> None:
        """End a fault."""
        if fault.kind in SERVERS:
            self._servers[fault.target].end_fault()
        elif fault.kind in {FaultKind.STOP, FaultKind.FREEZE}:
            worker = self._workers[fault.target]
            worker.send_signal(signal.SIGCONT)
            worker.signal_heartbeat(signal.SIGCONT)
        else:
            self._disturb_connections(fault, on=False)
        self._log(f"end of {fault.kind.value} {self._describe(fault)}")

    def close(self) -> None:
        """End all faults and wait until all servers are ready."""
        for server in self._servers:
            server.close()
        self._background.shutdown()
        for done in self._done:
            done.result()

    def _describe(self, fault: Fault) -> str:
        if fault.kind in SERVERS:
            return f"server {fault.target}"
        return self._workers[fault.target].name + (
            "" if fault.server is None else f" with server {fault.server}"
        )

    def _disturb_conductor(self, fault: Fault) -> None:
        worker = self._workers[fault.target]
        if fault.kind is FaultKind.EXPIRE:
            self._done.append(self._background.submit(self._expire, worker.name))
        elif fault.kind is FaultKind.KILL_HEARTBEAT:
            worker.signal_heartbeat(signal.SIGKILL)
        else:
            if fault.kind is FaultKind.FREEZE:
                worker.signal_heartbeat(signal.SIGSTOP)
            worker.send_signal(_SIGNALS[fault.kind])

    def _disturb_connections(self, fault: Fault, *, on: bool) -> None:
        proxies = self._proxies[fault.target]
        for proxy in proxies if fault.server is None else [proxies[fault.server]]:
            if fault.kind is FaultKind.CUT:
                proxy.cut()
            elif fault.kind is FaultKind.REFUSE:
                proxy.refuse(on)
            elif fault.kind is FaultKind.HOLD:
                proxy.hold(on)
            elif fault.kind is FaultKind.MUTE:
                proxy.mute(on)
            else:
                proxy.slow(_SLOW if on else 0.0)

    def _expire(self, name: str) -> None:
        """Revoke all leases of the conductor of that name."""
        try:
            with stores.fetch(self._board) as kv:
                items = kv.list(f"{quote(BOARD)}/entity/")
                leases = {item.lease for item in items if item.key.endswith(f"/{quote(name)}")}
                for lease in filter(None, leases):
                    kv.revoke(Lease(lease, 0.0))
        except exc.StorageFailure as error:
            self._log(f"leases of {name} could not be revoked: {error}")
