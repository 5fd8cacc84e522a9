"""One call after the other, in the engine's own thread."""

from __future__ import annotations

import threading
from collections import deque

from stackl_flow.engines.executors import base
from stackl_flow.engines.executors.calls import Call, Cancelled, Report, perform


class SerialExecutor(base.Executor):
    """Performs each call when the engine waits for it."""

    waves = True
    slots = 1

    def __init__(self) -> None:
        self._calls: deque[Call] = deque()
        self._reports: deque[Report] = deque()
        self._thread: int | None = None

    def start(self) -> None:
        """Forget what an earlier run left behind."""
        self._calls.clear()
        self._reports.clear()

    def stop(self) -> None:
        """Do nothing: there is nothing to let go of."""

    def submit(self, call: Call) -> None:
        """Take a call to be performed at the next wait.

        Args:
            call: what is to be performed.
        """
        self._calls.append(call)

    def report(self, entry: Report) -> None:
        """Note something to be handed out by ``wait``.

        Args:
            entry: what there is to report.
        """
        self._reports.append(entry)

    def here(self) -> bool:
        """Say whether this is the thread that performs the calls; a task may have started others."""
        return self._thread == threading.get_ident()

    def wait(self, timeout: float | None = None) -> list[Report]:
        """Perform one call.

        Args:
            timeout: has no meaning here: a call takes as long as it takes.

        Returns:
            What there is to report.
        """
        del timeout
        self._thread = threading.get_ident()
        done: list[Report] = [perform(self._calls.popleft())] if self._calls else []
        if not self._reports:
            return done
        # What the call told on its way from threads of its own, such as its progress, came before its end.
        reports = [*self._reports, *done]
        self._reports.clear()
        return reports

    def cancel(self) -> None:
        """Take back what has not begun."""
        while self._calls:
            self._reports.append(Cancelled(self._calls.popleft().number))
