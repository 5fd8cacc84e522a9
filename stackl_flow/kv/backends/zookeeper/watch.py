"""Waits for changes, by kazoo's client and its watches. The first waiter opens the client."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from kazoo import exceptions as kazoo
from kazoo.client import KazooClient
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.retry import KazooRetry

from stackl_flow import exceptions as exc
from stackl_flow.clock import SYSTEM
from stackl_flow.kv.backends.zookeeper.encoding import Paths
from stackl_flow.kv.backends.zookeeper.session import NoAnswerError
from stackl_flow.kv.backoff import Backoff

_RECONNECT_DELAY: Final = 0.05
_MAX_RECONNECT_DELAY: Final = 0.5
#: Seconds. Nothing depends on this session; but a server that is starting may accept a connection and never
#: answer, and the client waits for so long before it tries another one.
_SESSION_TIMEOUT: Final = 10.0
#: In place of a root: all of them.
_ALL: Final = "/"
_NO_ANSWER: Final = (
    kazoo.ConnectionLoss,
    kazoo.ConnectionClosedError,
    kazoo.SessionExpiredError,
    kazoo.SessionMovedError,
    kazoo.OperationTimeoutError,
)


class Watch:
    """Watches the nodes that change with every commit and lease. Threads may share it; a fork opens its own.

    Args:
        hosts: the servers, as kazoo takes them.
        timeout: seconds to wait for a connection, and for an answer.
        options: further arguments of kazoo's client.
        paths: the paths of nodes.
        translate_error: makes the error to raise for one of kazoo's.
    """

    def __init__(
        self,
        hosts: str,
        timeout: float,
        options: Mapping[str, Any],
        paths: Paths,
        translate_error: Callable[[Exception], exc.StorageFailure],
    ) -> None:
        self._hosts = hosts
        self._timeout = timeout
        self._options = options
        self._paths = paths
        self._translate_error = translate_error
        self._client: KazooClient | None = None
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._clients_of_parents: list[KazooClient] = []
        self._changed = threading.Condition()
        #: Number of notifications: by root, and of those that are of all of them.
        self._notifications: Counter[str] = Counter()
        #: By root: the state in which its watches were set, and the last change then.
        self._watched: dict[str, tuple[tuple[int, int], int]] = {}

    def close(self) -> None:
        """Close the client."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None and self._pid == os.getpid():
            client.stop()
            client.close()

    def wait(self, root: str, since: int, timeout: float | None) -> int:
        """Wait for a change after a transaction. While a watch is set, another call sends nothing.

        Args:
            root: the root of the keys (see ``ordered.root_of``); empty for all keys.
            since: id of the transaction.
            timeout: in seconds; None for no limit.

        Returns:
            The id of the last transaction with a change; ``since`` if there was none until the timeout.

        Raises:
            StorageFailure: there is no answer.
        """
        deadline = None if timeout is None else SYSTEM.monotonic() + timeout
        while True:
            state = self._state(root)
            watched = self._watched.get(root)
            if watched is None or watched[0] != state:
                watched = self._watched[root] = (state, self._watch_last_change(root))
            if watched[1] > since:
                return watched[1]
            with self._changed:
                while self._state(root) == state:
                    remaining = None if deadline is None else deadline - SYSTEM.monotonic()
                    if remaining is not None and remaining <= 0:
                        return since
                    self._changed.wait(remaining)

    def _state(self, root: str) -> tuple[int, int]:
        """Return a value that is another one after each notification."""
        return self._notifications[_ALL], self._notifications[root]

    def _watch_last_change(self, root: str) -> int:
        """Set the watches, and return the id of the last transaction with a change."""
        backoff = Backoff(self._timeout)
        while True:
            client = self._connected()
            pulse = client.exists_async(self._paths.pulse_of(root), watch=partial(self._notify, root))
            leases = client.get_children_async(self._paths.leases, watch=self._notify_all, include_data=True)
            try:
                pulse_stat = pulse.get(timeout=self._timeout)
                _, leases_stat = leases.get(timeout=self._timeout)
                written = 0 if pulse_stat is None else pulse_stat.mzxid
                return int(max(written, leases_stat.pzxid))
            except (*_NO_ANSWER, KazooTimeoutError) as error:
                if not backoff.sleep():
                    raise self._translate_error(NoAnswerError(type(error).__name__)) from error
            except kazoo.KazooException as error:
                raise self._translate_error(error) from error

    def _connected(self) -> KazooClient:
        with self._lock:
            if self._pid != os.getpid():
                # A fork has neither the parent's threads nor a right to its socket: not closed, not used.
                self._clients_of_parents += [self._client] if self._client is not None else []
                self._pid, self._client = os.getpid(), None
                self._changed = threading.Condition()
                self._watched = {}
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> KazooClient:
        retry = KazooRetry(max_tries=-1, delay=_RECONNECT_DELAY, max_delay=_MAX_RECONNECT_DELAY)
        session_timeout = min(self._timeout, _SESSION_TIMEOUT)
        client = KazooClient(self._hosts, timeout=session_timeout, connection_retry=retry, **self._options)
        client.add_listener(self._notify_all)  # a lost connection loses its watches
        try:
            client.start(timeout=self._timeout)
        except (KazooTimeoutError, kazoo.KazooException) as error:
            client.close()
            raise self._translate_error(error) from error
        return client

    def _notify(self, root: str, *_: object) -> None:
        with self._changed:
            self._notifications[root] += 1
            self._changed.notify_all()

    def _notify_all(self, *_: object) -> None:
        self._notify(_ALL)
