"""The connection to ZooKeeper: its options, a pool of sessions, and how kazoo's errors are translated."""

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
from stackl_flow.kv.backends.zookeeper import logins
from stackl_flow.kv.backends.zookeeper.session import NoAnswerError, Session, SessionExpiredError
from stackl_flow.kv.backoff import Backoff
from stackl_flow.tcp import KEEP_ALIVE

_OPTIONS: Final[Mapping[str, type[Any]]] = {
    "path": str,
    "timeout": float,
    "jute_maxbuffer": int,
    "read_only": bool,
    "randomize_hosts": bool,
    "check_compatible": bool,
    "use_ssl": bool,
    "verify_certs": bool,
    "ca": str,
    "certfile": str,
    "keyfile": str,
    "keyfile_password": str,
    **logins.OPTIONS,
}
_TLS_OPTIONS: Final = ("use_ssl", "verify_certs", "ca", "certfile", "keyfile", "keyfile_password")
#: The smallest ``jute.maxbuffer`` with which the store works.
_MIN_BUFFER: Final = 16_384
#: Milliseconds after which the server expires an idle session of the pool, which does no harm.
_SESSION_TIMEOUT_MS: Final = 30_000
#: Error codes that are answers: what ``SessionPool.send`` returns for them.
_RESULT_OF_CODE: Final[dict[int, Any]] = {
    kazoo.NoNodeError.code: None,
    kazoo.NodeExistsError.code: True,
    kazoo.NotEmptyError.code: True,
}

#: Sends kazoo's requests and returns their answers, as ``SessionPool.send`` does.
SendRequests = Callable[[Iterable[Any]], list[Any]]


class SessionPool:
    """Sends requests over a pool of sessions. Threads may share it; a forked child opens its own sessions.

    Args:
        name: the name of the store, for messages.
        new_session: makes a session of a timeout in milliseconds.
        timeout: seconds to retry.
    """

    def __init__(self, name: str, new_session: Callable[[int], Session], timeout: float) -> None:
        self._name = name
        self._timeout = timeout
        self._new_session = new_session
        self._idle: list[Session] = []
        self._pid = os.getpid()

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    def send(self, requests: Iterable[Any]) -> list[Any]:
        """Send idempotent requests at once, and again if an answer is lost.

        Returns:
            The answers; None for a missing node, True for one that exists already or is not empty.

        Raises:
            StorageFailure: there was no answer, or it was another error.
        """
        requests = list(requests)
        return self.retry(lambda: self.send_once(requests)) if requests else []

    def retry(self, call: Callable[[], Any]) -> Any:
        """Call an idempotent function until it is answered; raise ``StorageFailure`` after the timeout."""
        backoff = Backoff(self._timeout)
        while True:
            try:
                return call()
            except NoAnswerError as error:
                if isinstance(error.__cause__, ssl.SSLError) or not backoff.sleep():
                    raise self.translate_error(error) from error

    def send_once(self, requests: Sequence[Any]) -> list[Any]:
        """Send requests at once, and only once.

        Returns:
            The answers, as from ``send``.

        Raises:
            NoAnswerError: a request was not answered.
            StorageFailure: an answer was an error.
        """
        session = self._acquire()
        try:
            answers = session.send(requests)
        except SessionExpiredError as error:
            raise NoAnswerError("the session has expired") from error  # the next attempt uses another one
        except NoAnswerError:
            session.close()
            raise
        except kazoo.AuthFailedError as error:
            raise self.translate_error(error) from error
        self._idle.append(session)
        return [self._decode(request, *each) for request, each in zip(requests, answers, strict=True)]

    def _decode(self, request: Any, code: int, body: bytes) -> Any:
        if code in _RESULT_OF_CODE:
            return _RESULT_OF_CODE[code]
        if code:
            error = kazoo.EXCEPTIONS[code]()
            raise self.translate_error(error) from error
        return request.deserialize(body, 0) if hasattr(request, "deserialize") else True

    def _acquire(self) -> Session:
        if self._pid != os.getpid():
            self._pid, self._idle = os.getpid(), []  # the parent's sockets carry the parent's answers
        try:
            return self._idle.pop()
        except IndexError:
            return self._new_session(_SESSION_TIMEOUT_MS)

    def translate_error(self, error: Exception) -> exc.StorageFailure:
        """Return the error to raise for one of kazoo's, or for ``NoAnswerError``."""
        if isinstance(error.__cause__, ssl.SSLError):
            remedy = "failed the TLS handshake: check use_ssl, verify_certs, ca, certfile and keyfile"
        elif isinstance(error, (NoAnswerError, KazooTimeoutError)):
            remedy = (
                f"did not answer within {self._timeout:g} s: check that the servers run and can be reached"
                " (with TLS: use_ssl=yes)"
            )
        elif isinstance(error, (kazoo.AuthFailedError, kazoo.NoAuthError)):
            remedy = "denied access: check user and password, and the ACLs of the nodes"
        else:
            remedy = "failed: see the server's log"
        return exc.StorageFailure(f"'{self._name}' {remedy} ({type(error).__name__} {error})", cause=error)


class ConnectionSettings(NamedTuple):
    """Where a store is, and how to connect to it.

    Attributes:
        name: its URL, for messages.
        hosts: the servers, as kazoo takes them.
        root: the node below which everything is stored.
        timeout: seconds to wait for a connection, and for an answer.
        options: further arguments of kazoo's client.
        tls: those of them that concern TLS.
        has_several_servers: whether there is more than one server, so that one may lag behind another.
        max_buffer: the servers' ``jute.maxbuffer``, if it is not the default.
        login: how sessions log in.
    """

    name: str
    hosts: str
    root: str
    timeout: float
    options: Mapping[str, Any]
    tls: Mapping[str, Any]
    has_several_servers: bool
    max_buffer: int | None = None
    login: logins.Login = logins.Login()

    def connector(self) -> Callable[[], socket.socket]:
        """Return a function that opens a socket to each server in turn."""
        servers, _ = collect_hosts(self.hosts)
        turns = itertools.cycle(servers)
        # A server that is unreachable must leave time for the others.
        timeout = self.timeout / (len(servers) + 1) if self.has_several_servers else self.timeout

        def connect() -> socket.socket:
            host, port = next(turns)
            connection: socket.socket = create_tcp_connection(
                socket, (host, port), hostname=host, timeout=timeout, **self.tls
            )
            connection.settimeout(self.timeout)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            KEEP_ALIVE.apply(connection)
            return connection

        return connect


def read_settings(url: urls.BackendURL) -> ConnectionSettings:
    """Read a URL and its options; raise ``InvalidFormat`` if they are invalid. Nothing is connected yet."""
    options = dict(url.read_options(hosts=_Hosts, **_OPTIONS).values)
    servers, _, path = url.location_without_login.partition("/")
    login = logins.read_login(url.masked_url, url.login, options)
    for name in logins.OPTIONS:
        options.pop(name, None)
    hosts = servers or str(options.pop("hosts", "localhost:2181"))
    root = "/" + (path or options.pop("path", "stackl_flow")).strip("/")
    if root == "/" or "//" in root or root.split("/")[1] == "zookeeper":
        raise exc.InvalidFormat(
            f"invalid path '{root}' of '{url.masked_url}': use zookeeper://host:port/path"
        )
    timeout = options.pop("timeout", 10.0)
    max_buffer = options.pop("jute_maxbuffer", None)
    if max_buffer is not None and max_buffer < _MIN_BUFFER:
        raise exc.InvalidFormat(
            f"option 'jute_maxbuffer' of '{url.masked_url}' must be at least {_MIN_BUFFER}, not {max_buffer}"
        )
    for ignored in ("hosts", "path", "read_only", "check_compatible"):  # TaskFlow's; without effect here
        options.pop(ignored, None)
    try:
        addresses = collect_hosts(hosts)[0]
    except ValueError as error:
        raise exc.InvalidFormat(
            f"invalid servers in '{url.masked_url}': use zookeeper://host:port,host:port/path", cause=error
        ) from error
    for name in ("ca", "certfile", "keyfile"):
        if name in options and not Path(options[name]).is_file():
            raise exc.InvalidFormat(
                f"option '{name}' of '{url.masked_url}': file '{options[name]}' does not exist"
            )
    tls = {name: value for name, value in options.items() if name in _TLS_OPTIONS}
    return ConnectionSettings(
        name=f"zookeeper://{hosts}{root}",
        hosts=hosts,
        root=root,
        timeout=timeout,
        options={**options, **login.client_options()},
        tls=tls,
        has_several_servers=len(addresses) > 1,
        max_buffer=max_buffer,
        login=login,
    )


class _Hosts(str):
    """An option type: servers in TaskFlow's forms, a text, a list, or a mapping of hosts to ports."""

    __slots__ = ()

    def __new__(cls, value: Any) -> Self:
        if isinstance(value, Mapping):
            value = [f"{host}:{port}" for host, port in value.items()]
        return super().__new__(cls, value if isinstance(value, str) else ",".join(value))
