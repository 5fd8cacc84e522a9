"""Asks the ensemble, many things at once, and makes errors of ours of what it answers.

Reads where the ensemble is, in TaskFlow's words, and how to get a socket to it.
"""

from __future__ import annotations

import itertools
import os
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from kazoo import exceptions as kazoo
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.handlers.utils import create_tcp_connection
from kazoo.hosts import collect_hosts

from stackl_flow import exceptions as exc
from stackl_flow import urls
from stackl_flow.kv.backends.zookeeper.session import Expired, Lost, Session
from stackl_flow.kv.backoff import Backoff

#: After so many milliseconds without a word the server forgets us, which does no harm.
_SESSION: Final = 30_000
#: What is no failure, and what stands for it.
_MEANS: Final[dict[int, Any]] = {
    kazoo.NoNodeError.code: None,
    kazoo.NodeExistsError.code: True,
    kazoo.NotEmptyError.code: True,
}

Ask = Callable[[Iterable[Any]], list[Any]]


class Link:
    """Asks, and asks again where that does no harm. Threads may share it; a forked child opens its own.

    Args:
        name: the place, for messages.
        dial: opens a socket to one of the servers.
        timeout: for how many seconds to try.
    """

    def __init__(self, name: str, dial: Callable[[], socket.socket], timeout: float) -> None:
        self._name = name
        self._timeout = timeout
        self._dial = dial
        self._idle: list[Session] = []
        self._pid = os.getpid()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()

    def ask(self, requests: Iterable[Any]) -> list[Any]:
        """Send requests in one go, again if an answer is lost.

        Args:
            requests: kazoo's; what may be done twice.

        Returns:
            The answers; None for a node that is not there, True for one that was there already.

        Raises:
            StorageFailure: there is no answer, or the server failed.
        """
        asked = list(requests)
        return self.again(lambda: self.ask_once(asked)) if asked else []

    def again(self, call: Callable[[], Any]) -> Any:
        """Call something again when no answer comes.

        Args:
            call: what may be done twice.

        Returns:
            What it gave.

        Raises:
            StorageFailure: there is no answer.
        """
        backoff = Backoff(self._timeout)
        while True:
            try:
                return call()
            except Lost as error:
                if isinstance(error.__cause__, ssl.SSLError) or not backoff.sleep():
                    raise self.translated(error) from error

    def ask_once(self, requests: Sequence[Any]) -> list[Any]:
        """Send requests in one go, once.

        Args:
            requests: the requests.

        Returns:
            The answers, as ``ask`` gives them.

        Raises:
            Lost: there is no answer to one of them.
            StorageFailure: the server failed.
        """
        session = self._take()
        try:
            answers = session.ask(requests)
        except Expired as error:
            raise Lost("the session was over") from error  # the next time there is another
        except Lost:
            session.close()
            raise
        self._idle.append(session)
        return [self._read(request, *each) for request, each in zip(requests, answers, strict=True)]

    def _read(self, request: Any, code: int, body: bytes) -> Any:
        if code in _MEANS:
            return _MEANS[code]
        if code:
            error = kazoo.EXCEPTIONS[code]()
            raise self.translated(error) from error
        return request.deserialize(body, 0) if hasattr(request, "deserialize") else True

    def _take(self) -> Session:
        if self._pid != os.getpid():
            self._pid, self._idle = os.getpid(), []  # the parent's sockets carry the parent's answers
        try:
            return self._idle.pop()
        except IndexError:
            return Session(self._dial, _SESSION)

    def translated(self, error: Exception) -> exc.StorageFailure:
        """Make an error of ours.

        Args:
            error: kazoo's, or ``Lost``.

        Returns:
            The error, to be raised.
        """
        if isinstance(error.__cause__, ssl.SSLError):
            remedy = "and we do not agree on TLS: check use_ssl, verify_certs, ca, certfile and keyfile"
        elif isinstance(error, (Lost, KazooTimeoutError)):
            remedy = f"did not answer within {self._timeout:g} s: see that the servers run and can be reached"
            remedy += " (with TLS: use_ssl=yes)"
        elif isinstance(error, (kazoo.AuthFailedError, kazoo.NoAuthError)):
            remedy = "refused us: check the ACLs of the nodes"
        else:
            remedy = "failed: look into the server's log"
        return exc.StorageFailure(f"'{self._name}' {remedy} ({type(error).__name__} {error})", cause=error)


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
        backoff = self.timeout / (len(servers) + 1) if self.several else self.timeout

        def dial() -> socket.socket:
            host, port = next(turn)
            found: socket.socket = create_tcp_connection(
                socket, (host, port), hostname=host, timeout=backoff, **self.tls
            )
            found.settimeout(self.timeout)
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return found

        return dial


def read(place: urls.BackendURL) -> Address:
    """Read an address.

    Args:
        place: the address, taken apart.

    Returns:
        What it says.

    Raises:
        InvalidFormat: it makes no sense.
    """
    given = dict(place.read_options(hosts=_Hosts, **_OPTIONS).values)
    servers, _, path = place.location.partition("/")
    hosts = servers or str(given.pop("hosts", "localhost:2181"))
    if "@" in hosts:
        raise exc.InvalidFormat(f"'{place.masked_url}' names a user: leave that out, and log in by certfile")
    root = "/" + (path or given.pop("path", "stackl_flow")).strip("/")
    if root == "/" or "//" in root or root.split("/")[1] == "zookeeper":
        raise exc.InvalidFormat(
            f"'{root}' is no path for '{place.masked_url}': write zookeeper://host:port/path"
        )
    timeout = given.pop("timeout", 10.0)
    for known in ("hosts", "path", "read_only", "check_compatible"):  # TaskFlow's; of no use here
        given.pop(known, None)
    try:
        known_hosts = collect_hosts(hosts)[0]
    except ValueError as error:
        raise exc.InvalidFormat(
            f"'{place.masked_url}' names no servers: write zookeeper://host:port,host:port/path", cause=error
        ) from error
    for name in ("ca", "certfile", "keyfile"):
        if name in given and not Path(given[name]).is_file():
            raise exc.InvalidFormat(
                f"option '{name}' of '{place.masked_url}': there is no file '{given[name]}'"
            )
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
