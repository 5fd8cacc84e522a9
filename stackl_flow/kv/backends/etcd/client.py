"""Speaks with etcd's JSON gateway: one request and its answer, or a stream of answers.

Plain HTTP from the standard library on connections that stay open: a request costs half of what it does
through the session of etcd3gw, which each claim and each checkpoint would pay several times over. Nothing is
sent again here: who asks knows whether it may be.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

#: Codes of gRPC after which nobody knows whether the request was carried out: the deadline, no leader.
_UNSURE: Final = frozenset({1, 4, 14})
#: A peer that is silent for so many seconds is asked by TCP itself whether it is there.
_KEEPALIVE: Final = ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))


class Lost(Exception):
    """No answer came; it never leaves the backend.

    Args:
        message: what happened.
        sent: the request may have been carried out; without that it certainly was not.
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class Refused(Exception):
    """The server said no; it never leaves the backend.

    Args:
        status: the HTTP status.
        code: the code of gRPC; 0 if there was none.
        message: what it said.
    """

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Gateway:
    """Connections to the servers of one cluster. Threads may share it; a forked child opens its own.

    Args:
        servers: host and port of each; after a failure the next one is asked.
        tls: the context for TLS; None for plain HTTP.
        timeout: how many seconds to wait for a connection, and for an answer; with several servers half as
            long, so that one that hangs leaves time to ask another.
        api_path: what the paths of calls begin with.
    """

    def __init__(
        self, servers: Sequence[tuple[str, int]], tls: ssl.SSLContext | None, timeout: float, api_path: str
    ) -> None:
        self._servers = list(servers)
        self._tls = tls
        self._timeout = timeout / 2 if len(self._servers) > 1 else timeout
        self._api = f"/{api_path.strip('/')}/"
        self._idle: list[http.client.HTTPConnection] = []
        self._pid = os.getpid()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()

    def call(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Ask something.

        Args:
            path: the call, such as "kv/txn".
            body: its JSON.

        Returns:
            The answer.

        Raises:
            Lost: no answer came.
            Refused: the server said no.
        """
        connection = self._take()
        try:
            answer = self._post(connection, path, body)
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self._leave_server(connection)
            raise Lost(_words(error)) from error
        if answer.will_close:
            connection.close()
        else:
            self._idle.append(connection)
        return _read(answer.status, text)

    def stream(self, path: str, body: Mapping[str, Any]) -> Stream:
        """Ask something that is answered again and again.

        Args:
            path: the call.
            body: its JSON.

        Returns:
            The answers.

        Raises:
            Lost: no answer came.
            Refused: the server said no.
        """
        connection = self._take()
        try:
            answer = self._post(connection, path, body)
            if answer.status != http.HTTPStatus.OK:
                text = answer.read()
                connection.close()
                _read(answer.status, text)
            return Stream(connection, answer)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self._leave_server(connection)
            raise Lost(_words(error)) from error

    def _post(
        self, connection: http.client.HTTPConnection, path: str, body: Mapping[str, Any]
    ) -> http.client.HTTPResponse:
        text = json.dumps(body).encode()
        host = f"[{connection.host}]" if ":" in connection.host else connection.host
        head = (
            f"POST {self._api}{path} HTTP/1.1\r\nHost: {host}:{connection.port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
        )
        # In one piece, where http.client sends two: a third less until the answer is there.
        connection.sock.sendall(head.encode() + text)
        answer = http.client.HTTPResponse(connection.sock, method="POST")
        answer.begin()
        return answer

    def _take(self) -> http.client.HTTPConnection:
        if self._pid != os.getpid():
            self._pid, self._idle = os.getpid(), []  # the parent's sockets carry the parent's answers
        try:
            return self._idle.pop()
        except IndexError:
            return self._open()

    def _open(self) -> http.client.HTTPConnection:
        host, port = self._servers[0]
        if self._tls is None:
            connection = http.client.HTTPConnection(host, port, timeout=self._timeout)
        else:
            connection = http.client.HTTPSConnection(host, port, timeout=self._timeout, context=self._tls)
        try:
            connection.connect()
        except OSError as error:
            self._leave_server(connection)
            raise Lost(_words(error), sent=False) from error
        return connection

    def _leave_server(self, failed: http.client.HTTPConnection) -> None:
        """Forget the other connections to a server that failed, and turn to the next."""
        self.close()
        if len(self._servers) > 1 and self._servers[0] == (failed.host, failed.port):
            self._servers.append(self._servers.pop(0))


class Stream:
    """The answers to one request, as they come.

    Args:
        connection: the connection, which is used for nothing else.
        answer: where the answers are read.
    """

    def __init__(self, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> None:
        self._connection = connection
        self._answer = answer
        self._socket: socket.socket = connection.sock
        self._socket.settimeout(None)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            self._socket.setsockopt(socket.IPPROTO_TCP, option, value)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Go over the answers.

        Yields:
            Each of them.

        Raises:
            Lost: the connection broke, or ended.
            Refused: the server said no.
        """
        try:
            while line := self._answer.readline():
                if line.strip():
                    told = _read(http.HTTPStatus.OK, line)
                    if "error" in told:
                        raise Refused(http.HTTPStatus.OK, 0, str(told["error"]))
                    yield told["result"]
        except (OSError, http.client.HTTPException, AttributeError) as error:
            # AttributeError: http.client's answer to being closed by another thread in the middle of a line.
            raise Lost(_words(error)) from error
        finally:
            self._connection.close()
        raise Lost("the server ended the stream")

    def stop(self) -> None:
        """End it, from another thread."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


def _read(status: int, text: bytes) -> dict[str, Any]:
    try:
        told = json.loads(text)
    except ValueError:
        told = None
    if not isinstance(told, dict):
        shown = text[:200].decode(errors="replace").strip()
        raise Refused(status, 0, f"HTTP {status}, which is no answer of etcd: {shown}")
    if status == http.HTTPStatus.OK:
        return told
    code = int(told.get("code", 0))
    if code in _UNSURE:
        raise Lost(str(told.get("error", status)))
    raise Refused(status, code, str(told.get("error", f"HTTP {status}")))


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
