"""Reads where the ensemble is, in TaskFlow's words, and how to get a socket to it."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from kazoo.handlers.utils import create_tcp_connection
from kazoo.hosts import collect_hosts

from stackl_flow import exceptions as exc
from stackl_flow import settings

_OPTIONS: Final[Mapping[str, type[Any]]] = {
    "path": str,
    "timeout": float,
    "read_only": bool,
    "randomize_hosts": bool,
    "check_compatible": bool,
    "use_ssl": bool,
    "verify_certs": bool,
    "ca": str,
    "certfile": str,
    "keyfile": str,
    "keyfile_password": str,
}
_TLS: Final = ("use_ssl", "verify_certs", "ca", "certfile", "keyfile", "keyfile_password")


class Address(NamedTuple):
    """What the settings say.

    Attributes:
        name: the address, for messages.
        hosts: the servers, as kazoo takes them.
        root: the node below which all is kept.
        timeout: how many seconds to wait for a connection, and for an answer.
        options: further arguments for kazoo's client.
        tls: those of them that are for TLS.
        several: whether there is more than one server, so that one may know less than another.
    """

    name: str
    hosts: str
    root: str
    timeout: float
    options: Mapping[str, Any]
    tls: Mapping[str, Any]
    several: bool

    def dialer(self) -> Callable[[], socket.socket]:
        """Make a function that opens a socket to one server after the other."""
        servers, _ = collect_hosts(self.hosts)
        turn = itertools.cycle(servers)
        # Of several, one that is cut off must not use up the time in which another could be asked.
        patience = self.timeout / (len(servers) + 1) if self.several else self.timeout

        def dial() -> socket.socket:
            host, port = next(turn)
            found: socket.socket = create_tcp_connection(
                socket, (host, port), hostname=host, timeout=patience, **self.tls
            )
            found.settimeout(self.timeout)
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return found

        return dial


def read(place: settings.Place) -> Address:
    """Read an address.

    Args:
        place: the address, taken apart.

    Returns:
        What it says.

    Raises:
        InvalidFormat: it makes no sense.
    """
    given = dict(place.take(hosts=_Hosts, **_OPTIONS).given)
    servers, _, path = place.location.partition("/")
    hosts = servers or str(given.pop("hosts", "localhost:2181"))
    if "@" in hosts:
        raise exc.InvalidFormat(f"'{place.url}' names a user: leave that out, and log in by certfile")
    root = "/" + (path or given.pop("path", "stackl_flow")).strip("/")
    if root == "/" or "//" in root or root.split("/")[1] == "zookeeper":
        raise exc.InvalidFormat(f"'{root}' is no path for '{place.url}': write zookeeper://host:port/path")
    timeout = given.pop("timeout", 10.0)
    for known in ("hosts", "path", "read_only", "check_compatible"):  # TaskFlow's; of no use here
        given.pop(known, None)
    try:
        known_hosts = collect_hosts(hosts)[0]
    except ValueError as error:
        raise exc.InvalidFormat(
            f"'{place.url}' names no servers: write zookeeper://host:port,host:port/path", cause=error
        ) from error
    for name in ("ca", "certfile", "keyfile"):
        if name in given and not Path(given[name]).is_file():
            raise exc.InvalidFormat(f"option '{name}' of '{place.url}': there is no file '{given[name]}'")
    tls = {name: value for name, value in given.items() if name in _TLS}
    name = f"zookeeper://{hosts}{root}"
    return Address(name, hosts, root, timeout, given, tls, several=len(known_hosts) > 1)


class _Hosts(str):
    """Reads what TaskFlow takes: a text, a list, or a dictionary of hosts and ports."""

    __slots__ = ()

    def __new__(cls, told: Any) -> Self:
        if isinstance(told, Mapping):
            told = [f"{host}:{port}" for host, port in told.items()]
        return super().__new__(cls, told if isinstance(told, str) else ",".join(told))
