"""The mailbox: reports on calls, on their way to the loop that made the calls."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable

from stackl_flow.engines.executors.calls import Report, Started


class Mailbox:
    """Reports for one run of a loop. Any thread may put; only the loop waits.

    Attributes:
        put: queues a report and wakes the loop.
        put_started: queues a ``Started`` report, which the loop reads when it has time; it does not wake the
            loop, because short calls would otherwise wake it twice.
        work: performs one queued call in the loop's thread and returns the report on it, or None if there is
            no call; set by an executor that has no threads of its own.
    """

    def __init__(self) -> None:
        self._reports: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self._started: deque[Started] = deque()
        self.put: Callable[[Report], None] = self._reports.put
        self.put_started: Callable[[Started], None] = self._started.append
        self.work: Callable[[], Report | None] | None = None

    def wait(self, timeout: float | None = None) -> list[Report]:
        """Wait until something is reported, at most ``timeout`` seconds.

        With ``work`` set, one call is performed instead of waiting.

        Returns:
            All reports so far, in the order in which they arrived; an empty list after a timeout.
        """
        reports = self._reports
        if self.work is not None:
            report = self.work()
            done = [] if report is None else [report]
            # What was reported during the call, such as its progress, precedes its completion.
            return done if reports.empty() else [*self._drain(), *done]
        try:
            first = reports.get(timeout=timeout)
        except queue.Empty:
            return []
        return [first, *self._drain()]

    def _drain(self) -> list[Report]:
        return [self._reports.get() for _ in range(self._reports.qsize())]

    def take_started(self) -> list[Started]:
        """Remove and return what ``put_started`` queued."""
        started = self._started
        return [started.popleft() for _ in range(len(started))]

    def peek_started(self) -> list[Started]:
        """Return what ``put_started`` queued; any thread may call this."""
        return list(self._started)
