"""The connection to the ensemble: kazoo's client, opened when it is needed, asked many things at once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from kazoo import exceptions as kazoo
from kazoo.client import KazooClient
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.retry import KazooRetry

from stackl_flow import exceptions as exc
from stackl_flow.clock import SYSTEM

_TRIES: Final = 6
_FIRST_PAUSE: Final = 0.05
_NO_ANSWER: Final = (
    kazoo.ConnectionLoss,
    kazoo.ConnectionClosedError,
    kazoo.SessionExpiredError,
    kazoo.SessionMovedError,
    kazoo.OperationTimeoutError,
)

#: Makes a request of a client; gives kazoo's asynchronous result.
Request = Callable[[KazooClient], Any]


class Lost(Exception):
    """No answer came: the request may have been carried out, or not. It never leaves the backend."""


class Link:
    """Asks, and asks again where that does no harm. Threads may share it; a forked child opens its own.

    Args:
        name: the place, for messages.
        hosts: the servers, as kazoo takes them.
        timeout: how many seconds to wait for a connection, and for an answer.
        options: further arguments for kazoo's client.
        on_change: called when the connection was lost or is there again.
    """

    def __init__(
        self,
        name: str,
        hosts: str,
        timeout: float,
        options: Mapping[str, Any],
        on_change: Callable[[], None],
    ) -> None:
        self._name = name
        self._hosts = hosts
        self._timeout = timeout
        self._options = options
        self._on_change = on_change
        self._client: KazooClient | None = None
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._parents: list[KazooClient] = []

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None and self._pid == os.getpid():
            client.stop()
            client.close()

    def ask(self, requests: Iterable[Request]) -> list[Any]:
        """Send requests in one go, again if an answer is lost.

        Args:
            requests: what may be done twice.

        Returns:
            The answers; None for a node that is not there, True for one that was there already.

        Raises:
            StorageFailure: there is no answer.
        """
        asked = list(requests)
        for tries in range(_TRIES):
            try:
                return self.ask_once(asked)
            except Lost as error:
                if tries == _TRIES - 1 or isinstance(error.__cause__, KazooTimeoutError):
                    raise self.translated(error) from error
            SYSTEM.sleep(_FIRST_PAUSE * 2**tries)
        raise AssertionError("unreachable: the last try returns or raises")

    def ask_once(self, requests: Sequence[Request]) -> list[Any]:
        """Send requests in one go, once.

        Args:
            requests: the requests.

        Returns:
            The answers, as ``ask`` gives them.

        Raises:
            Lost: there is no answer to one of them.
            StorageFailure: there is no connection, or the server failed.
        """
        client = self._open()
        return [self._answer(asked) for asked in [request(client) for request in requests]]

    def send(self, request: Request) -> None:
        """Send a request whose answer nobody wants."""
        request(self._open())

    def _answer(self, asked: Any) -> Any:
        try:
            return asked.get(timeout=self._timeout)
        except kazoo.NoNodeError:
            return None
        except kazoo.NodeExistsError:
            return True
        except (*_NO_ANSWER, KazooTimeoutError) as error:
            raise Lost(f"{type(error).__name__} {error}".strip()) from error
        except kazoo.KazooException as error:
            raise self.translated(error) from error

    def _open(self) -> KazooClient:
        with self._lock:
            if self._pid != os.getpid():
                # The parent's threads are not here, and its socket is the parent's: neither closed nor used.
                self._parents += [self._client] if self._client is not None else []
                self._pid, self._client = os.getpid(), None
            if self._client is None:
                self._client = self._start()
            return self._client

    def _start(self) -> KazooClient:
        retry = KazooRetry(max_tries=-1, delay=_FIRST_PAUSE, max_delay=1.0)
        client = KazooClient(self._hosts, timeout=self._timeout, connection_retry=retry, **self._options)
        client.add_listener(lambda _: self._on_change())
        try:
            client.start(timeout=self._timeout)
        except (KazooTimeoutError, kazoo.KazooException) as error:
            client.close()
            raise self.translated(error) from error
        return client

    def translated(self, error: Exception) -> exc.StorageFailure:
        """Make an error of ours.

        Args:
            error: kazoo's, or ``Lost``.

        Returns:
            The error, to be raised.
        """
        if isinstance(error, (kazoo.AuthFailedError, kazoo.NoAuthError)):
            remedy = "refused us: check auth and the ACLs of the nodes"
        elif isinstance(error, (Lost, KazooTimeoutError, *_NO_ANSWER)):
            tls = (
                ", and that use_ssl, ca, certfile and keyfile are right" if "use_ssl" in self._options else ""
            )
            remedy = f"did not answer: see that the servers run and can be reached{tls}"
        else:
            remedy = "failed: look into the server's log"
        return exc.StorageFailure(f"'{self._name}' {remedy} ({type(error).__name__} {error})", cause=error)
