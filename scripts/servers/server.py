"""One server process, on free ports and with temporary data.

Unless it is detached, the kernel kills it when this process ends, however it ends.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from scripts.servers.kinds import SECOND_PORT_OFFSET, Kind, Location, find

#: Seconds until a server must answer, and until one that does not stop is killed.
_READY_TIMEOUT: Final = 120.0
_STOP_TIMEOUT: Final = 10.0
_ATTEMPTS: Final = 3
#: Ports of servers; some also listen ``SECOND_PORT_OFFSET`` above. Outgoing connections use higher ports (on
#: Linux from 32768), so the port of a stopped server stays free.
_PORTS: Final = range(10_000, 22_000)
#: The parent-death signal is sent when the *thread* that started a process ends: this one lasts.
_STARTER: Final = ThreadPoolExecutor(1, thread_name_prefix="servers")


class ServerError(Exception):
    """A server is not installed or does not start; the message says what to do."""


class Server:
    """A server for the exclusive use of its creator.

    Args:
        kind: what to run.
        options: additional arguments of its command.
        detached: whether it keeps running when this process ends.
        parent: where to make its directory; the default is the directory for temporary files.

    Attributes:
        directory: its data and its log; removed by ``close``.
        port: where it listens on 127.0.0.1; it does not change after the first start.
        second_port: a second port that it may use.
        peers: all members of its cluster, itself included; empty without a cluster.
    """

    def __init__(
        self, kind: Kind, options: Sequence[str] = (), *, detached: bool = False, parent: Path | None = None
    ) -> None:
        if kind.missing:
            raise ServerError(
                f"{kind.name} is not installed ({', '.join(kind.missing)} not found): run "
                f"`scripts/services install {kind.name}` as root, or set {kind.variable} to the URL of one"
            )
        self.kind = kind
        self.directory = Path(tempfile.mkdtemp(prefix=f"{kind.name}-", dir=parent))
        self.port = self.second_port = 0
        self.peers: Sequence[Server] = ()
        self._options = list(options)
        self._detached = detached
        self._was_ready = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its URL."""
        return self.kind.url.format(port=self.port)

    @property
    def pid(self) -> int:
        """Its process id; 0 if it is not running."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start it, with the ports and data of the last start, and wait until it is ready.

        Raises:
            ServerError: it does not become ready.
        """
        self.launch()
        self.wait_ready()

    def choose_ports(self) -> None:
        """Choose free ports, unless it has some."""
        if not self._was_ready and not _is_free(self.port):
            self.port, self.second_port = _free_ports(2)

    @property
    def is_leader(self) -> bool:
        """Whether it leads its cluster."""
        return self.pid != 0 and self.kind.is_leader is not None and self.kind.is_leader(self._location)

    def launch(self) -> None:
        """Start it without waiting."""
        self.choose_ports()
        command = [*self._setpriv(), *self.kind.command(self._location), *self._options]
        self._process = _STARTER.submit(self._spawn, command).result()

    def wait_ready(self) -> None:
        """Wait until it answers; if its port is in use by now, start it on another one.

        Raises:
            ServerError: it does not become ready.
        """
        for attempt in range(_ATTEMPTS):
            if self._becomes_ready():
                self._was_ready = True
                return
            if self.pid or attempt == _ATTEMPTS - 1 or "in use" not in self._log_tail().lower():
                break
            self.launch()
        log = self._log_tail()
        self.close()
        raise ServerError(f"{self.kind.name} did not become ready; the end of its log:\n{log}")

    def stop(self) -> None:
        """Shut it down; its data stay, and ``start`` starts it again."""
        self._terminate(self.kind.stop_signal)

    def kill(self) -> None:
        """Kill it; its data stay."""
        self._terminate(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop the process with SIGSTOP: it keeps its connections and does not answer."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue a frozen process."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Shut it down and remove its data."""
        with contextlib.suppress(ProcessLookupError):
            if self.pid:
                self.thaw()
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def _location(self) -> Location:
        peers = tuple(Location(peer.directory, peer.port, peer.second_port) for peer in self.peers)
        return Location(self.directory, self.port, self.second_port, peers)

    def _setpriv(self) -> list[str]:
        """Build the prefix of the command that sets the parent-death signal and the user."""
        options = [] if self._detached else ["--pdeathsig=KILL"]
        if self.kind.user and os.geteuid() == 0:
            user = pwd.getpwnam(self.kind.user)
            for path in (self.directory, *self.directory.iterdir()):
                if path.owner() != self.kind.user:
                    os.chown(path, user.pw_uid, user.pw_gid)
            options += [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        return [find("setpriv"), *options, "--"] if options and find("setpriv") else []

    def _spawn(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in the terminal must not reach it: it ends after its clients.
                start_new_session=True,
            )

    def _becomes_ready(self) -> bool:
        until = time.monotonic() + _READY_TIMEOUT
        while time.monotonic() < until:
            if self._process is None or self._process.poll() is not None:
                self._process = None
                return False
            # If the process is still running, no other server has answered on its port.
            if self.kind.is_ready(self._location) and self._process.poll() is None:
                return True
            time.sleep(0.02)
        return False

    def _terminate(self, stop_signal: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(stop_signal)
        try:
            process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _log_tail(self) -> str:
        lines = (self.directory / "log").read_text(errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-15:])


@contextlib.contextmanager
def running(kinds: Sequence[Kind]) -> Iterator[list[Server]]:
    """Run servers while the context is open.

    Raises:
        ServerError: one is not installed or does not become ready; none is left running.
    """
    with contextlib.ExitStack() as stack:
        servers = []
        for kind in kinds:
            server = Server(kind)
            stack.callback(server.close)
            servers.append(server)
        start_all(servers)
        yield servers


def start_all(servers: Sequence[Server]) -> None:
    """Start servers at the same time and wait until all are ready.

    Raises:
        ServerError: one does not become ready.
    """
    for server in servers:
        server.launch()
    for server in servers:
        server.wait_ready()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return port != 0


def _free_ports(count: int) -> list[int]:
    """Pick random free ports outside of the range of outgoing connections."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.choice(_PORTS)  # noqa: S311  not a secret
        if port not in ports and _is_free(port) and _is_free(port + SECOND_PORT_OFFSET):
            ports.append(port)
    return ports
