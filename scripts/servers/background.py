"""Servers that keep running after the program that started them, and the files that record them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from scripts.servers.definitions import KINDS
from scripts.servers.kinds import Kind
from scripts.servers.server import Server, start_all

_RECORD: Final = "server.json"
_CLONE: Final = Path(__file__).resolve().parents[2]
_STOP_TIMEOUT: Final = 10.0


@dataclass(frozen=True)
class BackgroundServer:
    """A server in the background; ``start_time`` distinguishes its process from others with the same id."""

    name: str
    pid: int
    start_time: str
    url: str
    directory: str

    @property
    def is_running(self) -> bool:
        """Whether the process still exists."""
        return bool(self.start_time) and _start_time(self.pid) == self.start_time


def start(kinds: Sequence[Kind]) -> list[BackgroundServer]:
    """Start those servers that this clone is not running already.

    Returns:
        All of them, in the order of ``kinds``.

    Raises:
        ServerError: one is not installed or does not become ready.
    """
    found = {server.name: server for server in running()}
    servers: list[Server] = []
    try:
        servers.extend(
            Server(kind, detached=True, parent=_parent()) for kind in kinds if kind.name not in found
        )
        start_all(servers)
    except BaseException:
        for server in servers:
            server.close()
        raise
    for server in servers:
        new = BackgroundServer(
            server.kind.name, server.pid, _start_time(server.pid), server.url, str(server.directory)
        )
        (server.directory / _RECORD).write_text(json.dumps(asdict(new)), encoding="utf-8")
        found[new.name] = new
    return [found[kind.name] for kind in kinds]


def running() -> list[BackgroundServer]:
    """List the background servers of this clone; the data of those that have ended are removed."""
    found = []
    for record in sorted(_parent().glob(f"*/{_RECORD}")):
        server = BackgroundServer(**json.loads(record.read_text(encoding="utf-8")))
        if server.is_running:
            found.append(server)
        else:
            shutil.rmtree(record.parent, ignore_errors=True)
    return found


def stop(server: BackgroundServer) -> None:
    """Stop a server and remove its data."""
    stop_signal = KINDS[server.name].stop_signal
    until = time.monotonic() + _STOP_TIMEOUT
    while server.is_running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server.pid, stop_signal if time.monotonic() < until else signal.SIGKILL)
        time.sleep(0.05)
    shutil.rmtree(server.directory, ignore_errors=True)


def _parent() -> Path:
    """Make the directory of this clone's servers; another clone has another one."""
    clone = hashlib.sha256(os.fsencode(_CLONE)).hexdigest()[:8]
    parent = Path(tempfile.gettempdir()) / f"stackl-flow-services-{os.geteuid()}-{clone}"
    parent.mkdir(mode=0o711, exist_ok=True)
    return parent


def _start_time(pid: int) -> str:
    """Read when a process was started, in clock ticks since boot; empty if it does not exist."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]
