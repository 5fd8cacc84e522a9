"""What defines a kind of server, and helpers for its commands and readiness checks."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM, Signals
from typing import Final

#: Where Debian installs servers that are not on PATH.
_MORE_PATHS: Final = ("/usr/sbin", *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True))
#: A server may also listen on its port plus this; the port is checked to be free.
SECOND_PORT_OFFSET: Final = 10_000
#: Seconds.
_REQUEST_TIMEOUT: Final = 2.0


@dataclass(frozen=True)
class Location:
    """Where one server runs: its directory and two ports of the loopback address.

    ``peers`` are the locations of all members of its cluster, itself included; empty without a cluster.
    """

    directory: Path
    port: int
    second_port: int
    peers: tuple[Location, ...] = ()

    @property
    def number(self) -> int:
        """Its number within the cluster, from 1."""
        return 1 + [peer.port for peer in self.peers].index(self.port)


@dataclass(frozen=True)
class Kind:
    """One kind of server.

    Attributes:
        name: its name in ``scripts/services`` and in fixtures.
        packages: Debian packages that provide it.
        requires: programs, or full paths of files, that must exist.
        url: its URL, with ``{port}``.
        command: returns the command line of the server; it may write files into the directory first.
        is_ready: whether it answers.
        is_leader: whether it leads its cluster; None for kinds without a leader.
        stop_signal: the signal for a fast and clean shutdown.
        user: the user to run as if started by root, for servers that refuse to run as root.
    """

    name: str
    packages: tuple[str, ...]
    requires: tuple[str, ...]
    url: str
    command: Callable[[Location], list[str]]
    is_ready: Callable[[Location], bool]
    is_leader: Callable[[Location], bool] | None = None
    stop_signal: Signals = SIGTERM
    user: str = ""

    @property
    def variable(self) -> str:
        """The environment variable for the URL of a server that runs already."""
        return f"STACKL_FLOW_TEST_{self.name.upper()}"

    @property
    def missing(self) -> list[str]:
        """Required programs and files that do not exist."""
        return [name for name in self.requires if not find(name)]


def find(program: str) -> str:
    """Return the path of a program, or of a file given by its full path; empty if it does not exist."""
    if Path(program).is_absolute():
        return program if Path(program).exists() else ""
    return (
        shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *_MORE_PATHS])) or ""
    )


def send_request(port: int, request: bytes = b"", *, read_all: bool = False) -> bytes:
    """Send bytes to a port and read the response; empty if the server does not answer.

    Args:
        port: the port.
        request: what to send; empty for protocols in which the server sends first.
        read_all: read until the server closes the connection, not only the first bytes.
    """
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_REQUEST_TIMEOUT) as connection:
            connection.sendall(request)
            response = connection.recv(256)
            while read_all and (more := connection.recv(1 << 16)):
                response += more
            return response
    except OSError:
        return b""


def with_initialization(data: Path, initialize: list[list[str]], server: list[str]) -> list[str]:
    """Build a command that initializes a data directory if it does not exist, then executes the server.

    Arguments appended to the command go to the server.
    """
    steps = " && ".join(map(shlex.join, initialize))
    initialized = f"test -e {shlex.quote(str(data))} || {{ {steps}; }}"
    return ["sh", "-c", f'{initialized} && exec {shlex.join(server)} "$@"', "sh"]
