"""Servers that stay after the program that started them, and how they are found again to be stopped."""

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

from scripts.servers.kinds import Kind
from scripts.servers.known import KINDS
from scripts.servers.server import Server, start_all

_NOTE: Final = "kept.json"
_CLONE: Final = Path(__file__).resolve().parents[2]
_STOPS_WITHIN: Final = 10.0


@dataclass(frozen=True)
class Kept:
    """A server that stays."""

    name: str
    pid: int
    born: str
    url: str
    directory: str

    @property
    def runs(self) -> bool:
        """Whether it is there: the process, and not another that has got its number since."""
        return bool(self.born) and _born(self.pid) == self.born


def keep(kinds: Sequence[Kind]) -> list[Kept]:
    """Start servers that stay; those that are kept already are left as they are.

    Args:
        kinds: what to start.

    Returns:
        All of them, in the order asked for.

    Raises:
        ServerError: one is missing or does not get ready.
    """
    there = {each.name: each for each in kept()}
    servers: list[Server] = []
    try:
        servers.extend(Server(kind, stays=True, home=_home()) for kind in kinds if kind.name not in there)
        start_all(servers)
    except BaseException:
        for server in servers:
            server.close()
        raise
    for server in servers:
        new = Kept(server.kind.name, server.pid, _born(server.pid), server.url, str(server.directory))
        (server.directory / _NOTE).write_text(json.dumps(asdict(new)), encoding="utf-8")
        there[new.name] = new
    return [there[kind.name] for kind in kinds]


def kept() -> list[Kept]:
    """List the servers that stay; what is left of others is taken away."""
    found = []
    for note in sorted(_home().glob(f"*/{_NOTE}")):
        each = Kept(**json.loads(note.read_text(encoding="utf-8")))
        if each.runs:
            found.append(each)
        else:
            shutil.rmtree(note.parent, ignore_errors=True)
    return found


def stop(server: Kept) -> None:
    """Stop a server that stays, and take its data away.

    Args:
        server: the server.
    """
    sign = KINDS[server.name].stop_signal
    until = time.monotonic() + _STOPS_WITHIN
    while server.runs:
        with contextlib.suppress(ProcessLookupError):
            os.kill(server.pid, sign if time.monotonic() < until else signal.SIGKILL)
        time.sleep(0.05)
    shutil.rmtree(server.directory, ignore_errors=True)


def _home() -> Path:
    """Make the directory of this clone's servers: other clones list and stop their own."""
    clone = hashlib.sha256(os.fsencode(_CLONE)).hexdigest()[:8]
    home = Path(tempfile.gettempdir()) / f"stackl-flow-services-{os.geteuid()}-{clone}"
    home.mkdir(mode=0o711, exist_ok=True)
    return home


def _born(pid: int) -> str:
    """Tell when a process was made, in the words of the system; empty if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    words = stat.rpartition(")")[2].split()
    return "" if words[0] == "Z" else words[19]
