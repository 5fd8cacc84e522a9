"""Hears of changes, by kazoo's client and its watches; opened by the first who waits."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from kazoo import exceptions as kazoo
from kazoo.client import KazooClient
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.retry import KazooRetry

from stackl_flow import exceptions as exc
from stackl_flow.clock import SYSTEM
from stackl_flow.kv.backends.zookeeper.encoding import Paths
from stackl_flow.kv.backends.zookeeper.session import Lost
from stackl_flow.kv.backoff import Backoff

_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 0.5
#: Seconds. Nothing stands on this session; but a server that has just been started may take a connection and
#: never answer, and for so long the client waits before it tries again.
_SESSION: Final = 4.0
_NO_ANSWER: Final = (
    kazoo.ConnectionLoss,
    kazoo.ConnectionClosedError,
    kazoo.SessionExpiredError,
    kazoo.SessionMovedError,
    kazoo.OperationTimeoutError,
)


class Watch:
    """Watches the pulse and the leases. Threads may share it; a forked child opens its own.

    Args:
        hosts: the servers, as kazoo takes them.
        timeout: how many seconds to wait for a connection, and for an answer.
        options: further arguments for kazoo's client.
        paths: names nodes.
        translated: makes an error of ours.
    """

    def __init__(
        self,
        hosts: str,
        timeout: float,
        options: Mapping[str, Any],
        paths: Paths,
        translated: Callable[[Exception], exc.StorageFailure],
    ) -> None:
        self._hosts = hosts
        self._timeout = timeout
        self._options = options
        self._paths = paths
        self._translated = translated
        self._client: KazooClient | None = None
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._parents: list[KazooClient] = []
        self._changed = threading.Condition()
        self._rings = 0

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None and self._pid == os.getpid():
            client.stop()
            client.close()

    def wait(self, since: int, timeout: float | None) -> int:
        """Wait for a change.

        Args:
            since: after this transaction.
            timeout: for how many seconds at most.

        Returns:
            The last transaction that changed something, or ``since`` when the time is over.

        Raises:
            StorageFailure: there is no answer.
        """
        deadline = None if timeout is None else SYSTEM.monotonic() + timeout
        while True:
            rings = self._rings
            mark = self._mark()
            if mark > since:
                return mark
            with self._changed:
                while self._rings == rings:
                    left = None if deadline is None else deadline - SYSTEM.monotonic()
                    if left is not None and left <= 0:
                        return since
                    self._changed.wait(left)

    def _mark(self) -> int:
        """Tell when anything changed last, and be told when it does again."""
        backoff = Backoff(self._timeout)
        while True:
            client = self._open()
            pulse = client.exists_async(self._paths.pulse, watch=self._ring)
            leases = client.get_children_async(self._paths.leases, watch=self._ring, include_data=True)
            try:
                told = pulse.get(timeout=self._timeout), leases.get(timeout=self._timeout)
                return int(max(told[0].mzxid, told[1][1].pzxid))
            except (*_NO_ANSWER, KazooTimeoutError) as error:
                if not backoff.sleep():
                    lost = Lost(type(error).__name__)
                    raise self._translated(lost) from error
            except kazoo.KazooException as error:
                raise self._translated(error) from error

    def _open(self) -> KazooClient:
        with self._lock:
            if self._pid != os.getpid():
                # The parent's threads are not here, and its socket is the parent's: neither closed nor used.
                self._parents += [self._client] if self._client is not None else []
                self._pid, self._client = os.getpid(), None
                self._changed = threading.Condition()
            if self._client is None:
                self._client = self._start()
            return self._client

    def _start(self) -> KazooClient:
        retry = KazooRetry(max_tries=-1, delay=_FIRST_PAUSE, max_delay=_LONGEST_PAUSE)
        session = min(self._timeout, _SESSION)
        client = KazooClient(self._hosts, timeout=session, connection_retry=retry, **self._options)
        client.add_listener(self._ring)  # a lost connection takes the watches with it
        try:
            client.start(timeout=self._timeout)
        except (KazooTimeoutError, kazoo.KazooException) as error:
            client.close()
            raise self._translated(error) from error
        return client

    def _ring(self, *_: object) -> None:
        with self._changed:
            self._rings += 1
            self._changed.notify_all()
