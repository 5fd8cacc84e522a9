"""The sessions that leases are: nothing keeps one alive but a word from whoever extends the lease.

kazoo's client pings its server from a thread for as long as the process lives, which would keep the lease of
an owner who hangs; and it takes a new session when the old one is gone, where a lease has to be lost. So a
lease's session is spoken with here, in kazoo's messages: over a connection that is opened when there is
something to say, by any process that knows its number and password, and closed without ending the session.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from kazoo import exceptions as kazoo
from kazoo.protocol.serialization import Connect, ReplyHeader, int_int_struct, int_struct

from stackl_flow.kv.backends.zookeeper.link import Lost

_NO_PASSWORD: Final = bytes(16)


class Expired(Exception):
    """The session is over. It never leaves the backend."""


class Session:
    """A session without a heartbeat of its own; threads may share it, and so may processes.

    Args:
        dial: opens a socket to one of the servers.
        milliseconds: after how long without a word the server is to end it.
        number: its number; 0 for a new one.
        password: its password.
    """

    def __init__(
        self,
        dial: Callable[[], socket.socket],
        milliseconds: int,
        number: int = 0,
        password: bytes = _NO_PASSWORD,
    ) -> None:
        self._dial = dial
        self.milliseconds = milliseconds
        self.number = number
        self.password = password
        self._socket: socket.socket | None = None
        self._pid = os.getpid()
        self._count = 0
        self._lock = threading.Lock()

    def call(self, request: Any) -> bytes:
        """Ask something, which keeps the session alive.

        Args:
            request: one of kazoo's.

        Returns:
            The answer's body.

        Raises:
            Expired: the session is over.
            Lost: no answer came.
            KazooException: the server said no.
        """
        with self._lock:
            try:
                link = self._connected()
                self._count += 1
                _send(link, int_int_struct.pack(self._count, request.type) + request.serialize())
                return self._answer(link)
            except (OSError, EOFError, kazoo.SessionMovedError) as error:
                self._hang_up()
                raise Lost(f"{type(error).__name__} {error}") from error
            except kazoo.SessionExpiredError as error:
                self._hang_up()
                raise Expired from error

    def open(self) -> None:
        """Begin it, if it is new.

        Raises:
            Expired: the session is over.
            Lost: no server could be reached.
        """
        with self._lock:
            try:
                self._connected()
            except (OSError, EOFError) as error:
                self._hang_up()
                raise Lost(f"{type(error).__name__} {error}") from error

    def close(self) -> None:
        """Close the connection; the session goes on until it is over."""
        with self._lock:
            self._hang_up()

    def _connected(self) -> socket.socket:
        if self._pid != os.getpid():
            self._hang_up()  # closes only our copy: the parent goes on using its own
            self._pid = os.getpid()
        if self._socket is None:
            self._socket = link = self._dial()
            hello = Connect(0, 0, self.milliseconds, self.number, self.password, False)
            _send(link, bytes(hello.serialize()))
            told, _ = Connect.deserialize(_receive(link), 0)
            if told.time_out <= 0:
                self._hang_up()
                raise Expired
            self.number, self.password, self.milliseconds = told.session_id, told.passwd, told.time_out
        return self._socket

    def _answer(self, link: socket.socket) -> bytes:
        while True:
            text = _receive(link)
            header, offset = ReplyHeader.deserialize(text, 0)
            if header.xid == self._count:
                if header.err:
                    raise kazoo.EXCEPTIONS[header.err]
                return text[offset:]

    def _hang_up(self) -> None:
        link, self._socket = self._socket, None
        if link is not None:
            with suppress(OSError):
                link.close()


def _send(link: socket.socket, text: bytes) -> None:
    link.sendall(int_struct.pack(len(text)) + text)


def _receive(link: socket.socket) -> bytes:
    (size,) = int_struct.unpack(_exactly(link, int_struct.size))
    return _exactly(link, size)


def _exactly(link: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        part = link.recv(min(size, 1 << 16))
        if not part:
            raise EOFError("the server closed the connection")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
