"""What a kind of server is, and the questions that are put to one to see whether it is ready."""

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

#: Where Debian keeps servers that are on nobody's PATH.
_ALSO: Final = ("/usr/sbin", *sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True))
#: A server whose port is free finds the one so much above it free, too.
BUS: Final = 10_000
#: How many seconds one question may take.
_PATIENCE: Final = 2.0


@dataclass(frozen=True)
class Spot:
    """Where one server is: a directory of its own, and two ports of the loopback address.

    ``peers`` are the spots of all members of its cluster, this one among them; none if it is alone.
    """

    directory: Path
    port: int
    second_port: int
    peers: tuple[Spot, ...] = ()

    @property
    def number(self) -> int:
        """Which member of its cluster it is, from 1 on."""
        return 1 + [peer.port for peer in self.peers].index(self.port)


@dataclass(frozen=True)
class Kind:
    """One kind of server.

    Attributes:
        name: what it is called here.
        packages: what Debian calls it.
        needs: programs, or full paths of files, without which it cannot be started.
        url: its address, with ``{port}`` in it.
        command: makes the command that becomes the server; it may prepare the directory first.
        ready: says whether it answers.
        leads: says whether it leads its cluster, where members have a leader.
        stop_signal: what makes it end soon and in order.
        user: who it has to be when root starts it and it refuses to be root.
    """

    name: str
    packages: tuple[str, ...]
    needs: tuple[str, ...]
    url: str
    command: Callable[[Spot], list[str]]
    ready: Callable[[Spot], bool]
    leads: Callable[[Spot], bool] | None = None
    stop_signal: Signals = SIGTERM
    user: str = ""

    @property
    def variable(self) -> str:
        """The environment variable that holds its address."""
        return f"STACKL_FLOW_TEST_{self.name.upper()}"

    @property
    def missing(self) -> list[str]:
        """What of its needs is not there."""
        return [need for need in self.needs if not find(need)]


def find(program: str) -> str:
    """Find a program or a file.

    Args:
        program: its name, or the full path of a file.

    Returns:
        Its path; empty if it is not there.
    """
    if Path(program).is_absolute():
        return program if Path(program).exists() else ""
    return shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *_ALSO])) or ""


def ask(port: int, question: bytes = b"", *, whole: bool = False) -> bytes:
    """Say something to a port.

    Args:
        port: the port.
        question: what to say; if empty, it is the server who speaks first.
        whole: read until the server hangs up.

    Returns:
        The beginning of the answer, or all of it; empty if there is none.
    """
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE) as link:
            link.sendall(question)
            found = link.recv(256)
            while whole and (more := link.recv(1 << 16)):
                found += more
            return found
    except OSError:
        return b""


def prepared(data: Path, make: list[str], become: list[str], then: list[str] | None = None) -> list[str]:
    """Make a command that makes the data once, and then becomes the server.

    Args:
        data: the directory that is made.
        make: the command that makes it.
        become: the server.
        then: a command to be run after ``make``.

    Returns:
        The command; it takes more words for the server.
    """
    first = " && ".join(shlex.join(command) for command in (make, then) if command)
    made = f"test -e {shlex.quote(str(data))} || {{ {first}; }}"
    return ["sh", "-c", f'{made} && exec {shlex.join(become)} "$@"', "sh"]
