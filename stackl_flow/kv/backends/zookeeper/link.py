"""Asks the ensemble, many things at once, and makes errors of ours of what it answers."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from kazoo import exceptions as kazoo
from kazoo.handlers.threading import KazooTimeoutError

from stackl_flow import exceptions as exc
from stackl_flow.kv.backends.zookeeper.session import Expired, Lost, Session
from stackl_flow.kv.patience import Patience

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
        patience = Patience(self._timeout)
        while True:
            try:
                return call()
            except Lost as error:
                if isinstance(error.__cause__, ssl.SSLError) or not patience.pause():
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
