"""A ZooKeeper session without a heartbeat of its own.

kazoo's client pings its server from a thread for as long as the process lives, which would keep the lease of
an owner that hangs; and it opens a new session when the old one has expired, where a lease has to be lost.
So the session of a lease is implemented here, with kazoo's messages: over a connection that is opened when
there is something to send, by any process that has the session's id and password, and closed without ending
the session. All other requests but watches use such sessions, too: several requests are sent at once,
without a change of threads for each, which takes a third of the time of kazoo's client.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import BytesIO
from typing import IO, Any, Final

from kazoo import exceptions as kazoo
from kazoo.protocol.serialization import Connect, ReplyHeader, int_int_struct, int_struct

from stackl_flow.kv.backends.zookeeper.logins import Login

_NO_PASSWORD: Final = bytes(16)
#: Handshakes that fit into the timeout of one answer, and the minimum timeout of a handshake in seconds.
_HANDSHAKES_PER_TIMEOUT: Final = 4
_MIN_HANDSHAKE_TIMEOUT: Final = 1.0
_SESSION_ERRORS: Final = {kazoo.SessionExpiredError.code, kazoo.SessionMovedError.code}


class NoAnswerError(Exception):
    """A request was not answered, and may have been executed; never leaves the backend."""


class SessionExpiredError(Exception):
    """The session has expired or was closed; never leaves the backend."""


class Session:
    """A session, kept alive only by the requests that are sent in it.

    Threads may share the object; processes may share the session, by its id and password.

    Args:
        connect: opens a socket to one of the servers.
        timeout_ms: milliseconds without a request after which the server expires the session. The server may
            change it.
        session_id: its id; 0 for a new session.
        password: its password.
        login: how each connection logs in.
    """

    def __init__(
        self,
        connect: Callable[[], socket.socket],
        timeout_ms: int,
        session_id: int = 0,
        password: bytes = _NO_PASSWORD,
        login: Login = Login(),  # noqa: B008  a constant
    ) -> None:
        self._connect = connect
        self.timeout_ms = timeout_ms
        self.session_id = session_id
        self.password = password
        self._login = login
        self._socket: socket.socket | None = None
        self._reader: IO[bytes] = BytesIO()
        self._pid = os.getpid()
        self._xid = 0  # of the last answer
        self._lock = threading.Lock()

    def send(self, requests: Sequence[Any]) -> list[tuple[int, bytes]]:
        """Send several of kazoo's requests at once.

        Returns:
            For each answer its error code, or 0, and its body.

        Raises:
            SessionExpiredError: the session has expired.
            NoAnswerError: a request was not answered.
        """
        with self._lock:
            try:
                connection = self._connected()
                message = bytearray()
                for xid, request in enumerate(requests, start=self._xid + 1):
                    body = int_int_struct.pack(xid, request.type) + request.serialize()
                    message += int_struct.pack(len(body)) + body
                connection.sendall(message)
                return [self._read_answer() for _ in requests]
            except (OSError, EOFError, kazoo.SessionMovedError) as error:
                self._disconnect()
                raise NoAnswerError(f"{type(error).__name__} {error}") from error
            except kazoo.SessionExpiredError as error:
                self._disconnect()
                raise SessionExpiredError from error
            except kazoo.AuthFailedError:
                self._disconnect()
                raise

    def call(self, request: Any) -> bytes:
        """Send one request and return the body of its answer; raise kazoo's exception for an error code."""
        ((code, body),) = self.send([request])
        if code:
            raise kazoo.EXCEPTIONS[code]
        return body

    def open(self) -> None:
        """Create the session, if it is new; the errors are those of ``send``."""
        with self._lock:
            try:
                self._connected()
            except (OSError, EOFError) as error:
                self._disconnect()
                raise NoAnswerError(f"{type(error).__name__} {error}") from error
            except kazoo.AuthFailedError:
                self._disconnect()
                raise

    def close(self) -> None:
        """Close the connection; the session continues until it expires."""
        with self._lock:
            self._disconnect()

    def _connected(self) -> socket.socket:
        if self._pid != os.getpid():
            self._disconnect()  # closes only this process's copy: the parent goes on using its own
            self._pid = os.getpid()
        if self._socket is None:
            self._socket = connection = self._connect()
            self._reader = connection.makefile("rb")
            timeout = connection.gettimeout()
            if timeout is not None:
                # A server that is starting may accept a connection and never answer: try another one soon.
                connection.settimeout(max(timeout / _HANDSHAKES_PER_TIMEOUT, _MIN_HANDSHAKE_TIMEOUT))
            request = Connect(0, 0, self.timeout_ms, self.session_id, self.password, False)
            body = bytes(request.serialize())
            connection.sendall(int_struct.pack(len(body)) + body)
            self._xid = 0
            answer, _ = Connect.deserialize(_read_message(self._reader), 0)
            if answer.time_out <= 0:
                self._disconnect()
                raise SessionExpiredError
            if self._login.auth or self._login.sasl is not None:
                host = str(connection.getpeername()[0])
                self._login.log_in(host, connection.sendall, lambda: _read_message(self._reader))
            connection.settimeout(timeout)
            self.session_id, self.password = answer.session_id, answer.passwd
            self.timeout_ms = answer.time_out
        return self._socket

    def _read_answer(self) -> tuple[int, bytes]:
        message = _read_message(self._reader)
        header, offset = ReplyHeader.deserialize(message, 0)
        self._xid += 1
        if header.xid != self._xid:
            raise EOFError(f"answer {header.xid} instead of {self._xid}")
        if header.err in _SESSION_ERRORS:
            raise kazoo.EXCEPTIONS[header.err]
        return header.err, message[offset:]

    def _disconnect(self) -> None:
        connection, self._socket = self._socket, None
        if connection is not None:
            with suppress(OSError):
                self._reader.close()
            with suppress(OSError):
                connection.close()


def _read_message(reader: IO[bytes]) -> bytes:
    (size,) = int_struct.unpack(_read_exactly(reader, int_struct.size))
    return _read_exactly(reader, size)


def _read_exactly(reader: IO[bytes], size: int) -> bytes:
    data = reader.read(size)
    if len(data) < size:
        raise EOFError("the server closed the connection")
    return data
