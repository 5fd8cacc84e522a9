"""Hears of changes: one stream for all who wait, from the revision on at which the first of them began."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from stackl_flow import exceptions as exc
from stackl_flow.clock import SYSTEM
from stackl_flow.kv.backends.etcd.gateway import Gateway, Lost, Refused, Stream
from stackl_flow.kv.backends.etcd.words import Words
from stackl_flow.kv.patience import Patience

# Whoever waits comes back soon; one who was away longer looks anew.
_REMEMBERED: Final = 4096


class Watch:
    """Reads the stream in a thread of its own, and wakes those who wait.

    Args:
        gateway: the cluster.
        words: knows the keys.
        since: the revision up to which nobody wants to know.
        timeout: for how many seconds to try when the stream has ended.
        translated: makes an error of ours.
    """

    def __init__(
        self,
        gateway: Gateway,
        words: Words,
        since: int,
        timeout: float,
        translated: Callable[[Lost | Refused], exc.StorageFailure],
    ) -> None:
        self._gateway = gateway
        self._words = words
        self._timeout = timeout
        self._translated = translated
        self._known_from = self._seen = since
        self._changes: deque[tuple[int, str]] = deque()
        self._changed = threading.Condition()
        self._stream: Stream | None = None
        self._closed = False
        self._failure: exc.StorageFailure | None = None
        threading.Thread(target=self._run, name="etcd-watch", daemon=True).start()

    @property
    def failed(self) -> bool:
        """Whether it gave up: make another one."""
        return self._failure is not None

    def close(self) -> None:
        """End it."""
        with self._changed:
            self._closed = True
            if self._stream is not None:
                self._stream.stop()

    def wait(self, prefix: str, since: int, timeout: float | None) -> int:
        """Wait for a change.

        Args:
            prefix: of keys that begin so.
            since: after this revision.
            timeout: for how many seconds at most.

        Returns:
            The revision up to which changes are known, or ``since`` when the time is over.

        Raises:
            StorageFailure: the cluster cannot be reached any more.
        """
        deadline = None if timeout is None else SYSTEM.monotonic() + timeout
        with self._changed:
            while True:
                if self._failure is not None:
                    raise self._failure
                if since < self._known_from or self._has_changed(prefix, since):
                    return max(self._seen, since + 1)
                left = None if deadline is None else deadline - SYSTEM.monotonic()
                if left is not None and left <= 0:
                    return since
                self._changed.wait(left)

    def _has_changed(self, prefix: str, since: int) -> bool:
        for revision, key in reversed(self._changes):
            if revision <= since:
                return False
            if key.startswith(prefix):
                return True
        return False

    def _run(self) -> None:
        patience = Patience(self._timeout)
        while not self._closed:
            try:
                self._listen()
            except (Lost, Refused) as error:
                if self._stream is not None:
                    self._stream, patience = None, Patience(self._timeout)
                if isinstance(error, Refused) or not patience.pause():
                    self._give_up(error)
                    return

    def _listen(self) -> None:
        asked = {**self._words.below(""), "start_revision": str(self._seen + 1)}
        stream = self._gateway.stream("watch", {"create_request": asked})
        with self._changed:
            self._stream = stream
            if self._closed:
                stream.stop()
        for told in stream:
            self._hear(told)

    def _hear(self, told: dict[str, Any]) -> None:
        with self._changed:
            if told.get("canceled"):
                # What happened in between is compacted away: any key may have changed.
                self._known_from = self._seen = max(self._seen, int(told.get("compact_revision", 0)))
                self._changes.clear()
                self._changed.notify_all()
                raise Lost(str(told.get("cancel_reason", "the watch was cancelled")))
            for event in told.get("events", ()):
                at = int(event["kv"]["mod_revision"])
                self._changes.append((at, self._words.read_key(event["kv"]["key"])))
                self._seen = max(self._seen, at)
            while len(self._changes) > _REMEMBERED:
                self._known_from = self._changes.popleft()[0]
            self._changed.notify_all()

    def _give_up(self, error: Lost | Refused) -> None:
        with self._changed:
            self._failure = self._translated(error)
            self._changed.notify_all()
