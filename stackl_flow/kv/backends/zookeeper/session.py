"""A session that nothing keeps alive but what is said in it.

kazoo's client pings its server from a thread for as long as the process lives, which would keep the lease of
an owner who hangs; and it takes a new session when the old one is gone, where a lease has to be lost. So a
lease's session is spoken with here, in kazoo's messages: over a connection that is opened when there is
something to say, by any process that knows its number and password, and closed without ending the session.
Everything else but waiting is asked in such sessions, too: many requests in one piece, without a change of
threads for each, take a third of the time that kazoo's client takes.
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

_NO_PASSWORD: Final = bytes(16)
#: How often a session may be begun in the time that an answer may take, and seconds for each time at least.
_TRIES: Final = 4
_SOON: Final = 1.0
_OVER: Final = {kazoo.SessionExpiredError.code, kazoo.SessionMovedError.code}


class Lost(Exception):
    """No answer came: the request may have been carried out, or not. It never leaves the backend."""


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
        self._answers: IO[bytes] = BytesIO()
        self._pid = os.getpid()
        self._count = 0
        self._lock = threading.Lock()

    def ask(self, requests: Sequence[Any]) -> list[tuple[int, bytes]]:
        """Ask several things in one go, which keeps the session alive.

        Args:
            requests: kazoo's.

        Returns:
            Of each answer the code of its error, or 0, and its body.

        Raises:
            Expired: the session is over.
            Lost: no answer came to one of them.
        """
        with self._lock:
            try:
                link = self._connected()
                asked = bytearray()
                for number, request in enumerate(requests, start=self._count + 1):
                    text = int_int_struct.pack(number, request.type) + request.serialize()
                    asked += int_struct.pack(len(text)) + text
                link.sendall(asked)
                return [self._answer() for _ in requests]
            except (OSError, EOFError, kazoo.SessionMovedError) as error:
                self._hang_up()
                raise Lost(f"{type(error).__name__} {error}") from error
            except kazoo.SessionExpiredError as error:
                self._hang_up()
                raise Expired from error

    def call(self, request: Any) -> bytes:
        """Ask something.

        Args:
            request: one of kazoo's.

        Returns:
            The answer's body.

        Raises:
            Expired: the session is over.
            Lost: no answer came.
            KazooException: the server said no.
        """
        ((code, body),) = self.ask([request])
        if code:
            raise kazoo.EXCEPTIONS[code]
        return body

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
            self._answers = link.makefile("rb")
            backoff = link.gettimeout()
            if backoff is not None:
                # A server that has just been started may take a connection and never answer: we try another.
                link.settimeout(max(backoff / _TRIES, _SOON))
            hello = Connect(0, 0, self.milliseconds, self.number, self.password, False)
            text = bytes(hello.serialize())
            link.sendall(int_struct.pack(len(text)) + text)
            self._count = 0
            told, _ = Connect.deserialize(_receive(self._answers), 0)
            if told.time_out <= 0:
                self._hang_up()
                raise Expired
            link.settimeout(backoff)
            self.number, self.password, self.milliseconds = told.session_id, told.passwd, told.time_out
        return self._socket

    def _answer(self) -> tuple[int, bytes]:
        text = _receive(self._answers)
        header, offset = ReplyHeader.deserialize(text, 0)
        self._count += 1
        if header.xid != self._count:
            raise EOFError(f"answer {header.xid} came in the place of {self._count}")
        if header.err in _OVER:
            raise kazoo.EXCEPTIONS[header.err]
        return header.err, text[offset:]

    def _hang_up(self) -> None:
        link, self._socket = self._socket, None
        if link is not None:
            with suppress(OSError):
                self._answers.close()
            with suppress(OSError):
                link.close()


def _receive(answers: IO[bytes]) -> bytes:
    (size,) = int_struct.unpack(_exactly(answers, int_struct.size))
    return _exactly(answers, size)


def _exactly(answers: IO[bytes], size: int) -> bytes:
    text = answers.read(size)
    if len(text) < size:
        raise EOFError("the server closed the connection")
    return text
