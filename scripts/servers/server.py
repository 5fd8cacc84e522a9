"""One server of its own: started on free ports with throw-away data, stopped by its process id.

A server that is not told to stay dies with us, however we die.
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

from scripts.servers.kinds import BUS, Kind, Spot, find

#: Seconds until a server has to answer, and until one that was told to stop is killed.
_READY_WITHIN: Final = 60.0
_STOPS_WITHIN: Final = 10.0
_TRIES: Final = 3
#: Where servers listen; some listen ``BUS`` above that, too. A connection from this machine takes its port
#: above (Linux: from 32768 on), so a server that was stopped finds its port free again.
_PORTS: Final = range(10_000, 22_000)
#: A child is told of the end of the thread that made it, so all are made by one that stays.
_STARTER: Final = ThreadPoolExecutor(1, thread_name_prefix="servers")


class ServerError(Exception):
    """A server is missing, or does not start; the message says what to do."""


class Server:
    """A server that nobody else uses.

    Args:
        kind: what it is.
        options: more words for its command.
        stays: whether it goes on when we end.
        home: where its directory is made; the system's place for such if left out.

    Attributes:
        directory: all its data, and its log; gone with ``close``.
        port: where it listens on 127.0.0.1, the same all its life.
        second_port: another one that it may use.
        peers: all members of its cluster, itself among them; none if it is alone.
    """

    def __init__(
        self, kind: Kind, options: Sequence[str] = (), *, stays: bool = False, home: Path | None = None
    ) -> None:
        if kind.missing:
            raise ServerError(
                f"{kind.name} is not installed ({', '.join(kind.missing)} not found): run "
                f"`scripts/services install {kind.name}` as root, or name a running one in {kind.variable}"
            )
        self.kind = kind
        self.directory = Path(tempfile.mkdtemp(prefix=f"{kind.name}-", dir=home))
        self.port = self.second_port = 0
        self.peers: Sequence[Server] = ()
        self._options = list(options)
        self._stays = stays
        self._was_ready = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return self.kind.url.format(port=self.port)

    @property
    def pid(self) -> int:
        """Its process id; 0 while it does not run."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start it, on the port and with the data that it had before, and wait until it is ready.

        Raises:
            ServerError: it does not get ready.
        """
        self.launch()
        self.await_ready()

    def settle(self) -> None:
        """Choose its ports, unless it has some."""
        if not self._was_ready and not _is_free(self.port):
            self.port, self.second_port = _free_ports(2)

    @property
    def leads(self) -> bool:
        """Whether it leads its cluster."""
        return self.pid != 0 and self.kind.leads is not None and self.kind.leads(self._spot)

    def launch(self) -> None:
        """Start it, and do not wait."""
        self.settle()
        command = [*self._identity(), *self.kind.command(self._spot), *self._options]
        self._process = _STARTER.submit(self._make, command).result()

    def await_ready(self) -> None:
        """Wait until it answers; one whose port was taken meanwhile is started anew on another.

        Raises:
            ServerError: it does not.
        """
        for attempt in range(_TRIES):
            if self._gets_ready():
                self._was_ready = True
                return
            if self.pid or attempt == _TRIES - 1 or "in use" not in self._said().lower():
                break
            self.launch()
        said = self._said()
        self.close()
        raise ServerError(f"{self.kind.name} did not get ready; it said:\n{said}")

    def stop(self) -> None:
        """Stop it in order; its data stay, and ``start`` starts it again."""
        self._end(self.kind.stop_signal)

    def kill(self) -> None:
        """Kill it at once; its data stay as they are."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop the process where it is: it keeps its connections, and answers nobody."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen one go on."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Stop it and take its data away."""
        with contextlib.suppress(ProcessLookupError):
            if self.pid:
                self.thaw()
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def _spot(self) -> Spot:
        peers = tuple(Spot(peer.directory, peer.port, peer.second_port) for peer in self.peers)
        return Spot(self.directory, self.port, self.second_port, peers)

    def _identity(self) -> list[str]:
        """Give the words before a command that let it die with us, and be somebody else than root."""
        words = [] if self._stays else ["--pdeathsig=KILL"]
        if self.kind.user and os.geteuid() == 0:
            who = pwd.getpwnam(self.kind.user)
            for path in (self.directory, *self.directory.iterdir()):
                if path.owner() != self.kind.user:
                    os.chown(path, who.pw_uid, who.pw_gid)
            words += [f"--reuid={who.pw_uid}", f"--regid={who.pw_gid}", "--clear-groups"]
        return [find("setpriv"), *words, "--"] if words and find("setpriv") else []

    def _make(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # A stop from the terminal is for us: it ends after those who use it.
                start_new_session=True,
            )

    def _gets_ready(self) -> bool:
        until = time.monotonic() + _READY_WITHIN
        while time.monotonic() < until:
            if self._process is None or self._process.poll() is not None:
                self._process = None
                return False
            # It was not somebody else who answered, if ours is still there.
            if self.kind.ready(self._spot) and self._process.poll() is None:
                return True
            time.sleep(0.02)
        return False

    def _end(self, sign: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(sign)
        try:
            process.wait(_STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _said(self) -> str:
        lines = (self.directory / "log").read_text(errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-15:])


@contextlib.contextmanager
def running(kinds: Sequence[Kind]) -> Iterator[list[Server]]:
    """Start servers side by side, and take them away at the end.

    Args:
        kinds: what to start.

    Yields:
        The servers, ready.

    Raises:
        ServerError: one is missing or does not get ready; none is left running.
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
    """Start servers side by side.

    Args:
        servers: the servers.

    Raises:
        ServerError: one does not get ready.
    """
    for server in servers:
        server.launch()
    for server in servers:
        server.await_ready()


def _is_free(port: int) -> bool:
    with socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            link.bind(("127.0.0.1", port))
        except OSError:
            return False
        return port != 0


def _free_ports(count: int) -> list[int]:
    """Pick free ports by chance among those that the system does not give to outgoing connections."""
    ports: list[int] = []
    while len(ports) < count:
        port = random.choice(_PORTS)  # noqa: S311  nothing here is secret
        if port not in ports and _is_free(port) and _is_free(port + BUS):
            ports.append(port)
    return ports
