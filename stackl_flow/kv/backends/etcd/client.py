"""A client of etcd's JSON gateway: one request and its answer, or a stream of answers.

Plain HTTP from the standard library with a pool of connections: a request costs half of what it does through
the session of etcd3gw, and each claim and each checkpoint makes several. Nothing is retried here: only the
caller knows which requests are idempotent.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from stackl_flow.tcp import KEEP_ALIVE

T = TypeVar("T")

#: gRPC codes after which the outcome is unknown: cancelled, deadline exceeded, unavailable (no leader).
_UNKNOWN_OUTCOME: Final = frozenset({1, 4, 14})


class NoAnswerError(Exception):
    """A request was not answered; never leaves the backend.

    Args:
        message: what happened.
        was_sent: whether the request may have been executed; if False, it certainly was not.
    """

    def __init__(self, message: str, *, was_sent: bool = True) -> None:
        super().__init__(message)
        self.was_sent = was_sent


class SilentError(NoAnswerError):
    """Nothing arrived on a stream for too long: there was nothing to send, or the connection is dead."""


class ResponseError(Exception):
    """The server answered with an error; never leaves the backend.

    Args:
        status: the HTTP status.
        code: the gRPC code; 0 if there was none.
        message: the server's text.
    """

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


#: What servers answer to a request whose token has expired, or is of before a change of users or roles.
_STALE_TOKEN: Final = ("invalid auth token", "revision of auth store is old")


class EtcdClient:
    """A pool of connections to one server of a cluster at a time; after a failure it uses the next server.

    Threads may share it. A forked child opens its own connections.

    Args:
        servers: host and port of each server.
        tls: the context for TLS; None for plain HTTP.
        timeout: seconds to wait for a connection, and for an answer; half of it with several servers, so
            that one that hangs leaves time for another.
        api_path: the prefix of the paths of calls.
        login: user and password; empty for none.
    """

    def __init__(
        self,
        servers: Sequence[tuple[str, int]],
        tls: ssl.SSLContext | None,
        timeout: float,
        api_path: str,
        login: tuple[str, str] = ("", ""),
    ) -> None:
        self._servers = list(servers)
        self._tls = tls
        self._timeout = timeout / 2 if len(self._servers) > 1 else timeout
        self._api_path = f"/{api_path.strip('/')}/"
        self._login = login
        self._token = ""
        self._idle: list[http.client.HTTPConnection] = []
        self._pid = os.getpid()

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    def call(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and return its answer.

        Args:
            path: the call, such as "kv/txn".
            body: its JSON.

        Raises:
            NoAnswerError: there was no answer.
            ResponseError: the answer was an error.
        """
        return self._with_token(lambda: self._call(path, body))

    def _with_token(self, send: Callable[[], T]) -> T:
        """Log in if that is needed; once more if the token is stale, because then nothing was executed."""
        if not self._login[0]:
            return send()
        if not self._token:
            self._authenticate()
        used = self._token
        try:
            return send()
        except ResponseError as error:
            if not any(text in str(error) for text in _STALE_TOKEN):
                raise
            self.forget_token(used)
            self._authenticate()
            return send()

    def _authenticate(self) -> None:
        user, password = self._login
        self._token = ""
        self._token = str(self._call("auth/authenticate", {"name": user, "password": password})["token"])

    def forget_token(self, used: str = "") -> None:
        """Log in again before the next request, unless another thread has replaced this token."""
        if used in {"", self._token}:
            self._token = ""

    def _call(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        connection = self._acquire()
        try:
            with self._post(connection, path, body) as response:
                text = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self._leave_server(connection)
            raise NoAnswerError(_describe(error)) from error
        if response.will_close:
            connection.close()
        else:
            self._idle.append(connection)
        return _decode(response.status, text)

    def stream(self, path: str, body: Mapping[str, Any], max_silence: float) -> ResponseStream:
        """Send a request that is answered by a stream; arguments and errors are those of ``call``.

        Args:
            path: the call.
            body: its JSON.
            max_silence: seconds without an answer after which the stream ends.
        """
        return self._with_token(lambda: self._stream(path, body, max_silence))

    def _stream(self, path: str, body: Mapping[str, Any], max_silence: float) -> ResponseStream:
        connection = self._acquire()
        try:
            response = self._post(connection, path, body)
            if response.status != http.HTTPStatus.OK:
                with response:
                    text = response.read()
                connection.close()
                _decode(response.status, text)
            return ResponseStream(connection, response, max_silence)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self._leave_server(connection)
            raise NoAnswerError(_describe(error)) from error

    def _post(
        self, connection: http.client.HTTPConnection, path: str, body: Mapping[str, Any]
    ) -> http.client.HTTPResponse:
        text = json.dumps(body).encode()
        host = f"[{connection.host}]" if ":" in connection.host else connection.host
        head = (
            f"POST {self._api_path}{path} HTTP/1.1\r\nHost: {host}:{connection.port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n{self._authorization}\r\n"
        )
        # In one piece, where http.client sends two: the answer comes in two thirds of the time.
        connection.sock.sendall(head.encode() + text)
        response = http.client.HTTPResponse(connection.sock, method="POST")
        try:
            response.begin()
        except BaseException:
            response.close()  # it keeps the socket open after the connection is closed
            raise
        return response

    @property
    def _authorization(self) -> str:
        return f"Authorization: {self._token}\r\n" if self._token else ""

    def _acquire(self) -> http.client.HTTPConnection:
        if self._pid != os.getpid():
            self._pid, self._idle = os.getpid(), []  # the parent's sockets carry the parent's answers
        try:
            return self._idle.pop()
        except IndexError:
            return self._connect()

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._servers[0]
        if self._tls is None:
            connection = http.client.HTTPConnection(host, port, timeout=self._timeout)
        else:
            connection = http.client.HTTPSConnection(host, port, timeout=self._timeout, context=self._tls)
        try:
            connection.connect()
            KEEP_ALIVE.apply(connection.sock)
        except OSError as error:
            self._leave_server(connection)
            raise NoAnswerError(_describe(error), was_sent=False) from error
        return connection

    def _leave_server(self, failed: http.client.HTTPConnection) -> None:
        """Drop the other connections to a server that failed, and continue with the next server."""
        self.close()
        if len(self._servers) > 1 and self._servers[0] == (failed.host, failed.port):
            self._servers.append(self._servers.pop(0))


class ResponseStream:
    """The answers to one request, as they arrive; it owns the connection.

    Args:
        connection: the connection.
        response: the response that is read from it.
        max_silence: seconds without an answer after which the stream ends.
    """

    def __init__(
        self,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
        max_silence: float,
    ) -> None:
        self._connection = connection
        self._response = response
        self._socket: socket.socket = connection.sock
        self._socket.settimeout(max_silence)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Iterate over the answers.

        Raises:
            NoAnswerError: the connection broke, or ended.
            SilentError: nothing arrived for too long.
            ResponseError: the server answered with an error.
        """
        try:
            while line := self._response.readline():
                if line.strip():
                    answer = _decode(http.HTTPStatus.OK, line)
                    if "error" in answer:
                        raise ResponseError(http.HTTPStatus.OK, 0, str(answer["error"]))
                    yield answer["result"]
        except TimeoutError as error:
            raise SilentError(_describe(error)) from error
        except (OSError, http.client.HTTPException, AttributeError) as error:
            # AttributeError: what http.client raises when another thread closes it in the middle of a line.
            raise NoAnswerError(_describe(error)) from error
        finally:
            self._connection.close()
        raise NoAnswerError("the server ended the stream")

    def stop(self) -> None:
        """End the stream, from another thread."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


def _decode(status: int, text: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(text)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        shown = text[:200].decode(errors="replace").strip()
        raise ResponseError(status, 0, f"HTTP {status} with a body that is not etcd's: {shown}")
    if status == http.HTTPStatus.OK:
        return answer
    code = int(answer.get("code", 0))
    if code in _UNKNOWN_OUTCOME:
        raise NoAnswerError(str(answer.get("error", status)))
    raise ResponseError(status, code, str(answer.get("error", f"HTTP {status}")))


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
