"""Performs one call after the other, in the engine's thread."""

from __future__ import annotations

import threading
from collections import deque
from typing import ClassVar

from stackl_flow.engines.executors import base
from stackl_flow.engines.executors.calls import Call, Cancelled, Report, perform


class SerialExecutor(base.Executor):
    """Performs one call in each ``wait``."""

    in_batches = True
    slots = 1

    #: Perform a call in ``submit`` instead of in ``wait``. A subclass may set this.
    performs_on_submit: ClassVar[bool] = False

    def __init__(self) -> None:
        self._calls: deque[Call] = deque()
        self._reports: deque[Report] = deque()
        self._thread: int | None = None

    def start(self) -> None:
        """Discard the calls and reports of an earlier run."""
        self._calls.clear()
        self._reports.clear()

    def stop(self) -> None:
        """Do nothing."""

    def submit(self, call: Call) -> None:
        """Queue a call for the next ``wait``, or perform it if ``performs_on_submit`` is set."""
        if self.performs_on_submit:
            self._thread = threading.get_ident()
            self._reports.append(perform(call))
        else:
            self._calls.append(call)

    def report(self, report: Report) -> None:
        """Queue a report for ``wait``."""
        self._reports.append(report)

    def wait(self, timeout: float | None = None) -> list[Report]:
        """Perform one call, and return all reports; ``timeout`` is ignored."""
        del timeout
        self._thread = threading.get_ident()
        done: list[Report] = [perform(self._calls.popleft())] if self._calls else []
        if not self._reports:
            return done
        # Reports that the call made from threads of its own, such as its progress, precede its completion.
        reports = [*self._reports, *done]
        self._reports.clear()
        return reports

    def cancel(self) -> None:
        """Recall the calls that have not started."""
        while self._calls:
            self._reports.append(Cancelled(self._calls.popleft().number))

    def is_engine_thread(self) -> bool:
        """Return whether the caller is the thread that performs the calls; a task may have started others."""
        return self._thread == threading.get_ident()
