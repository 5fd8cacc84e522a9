"""The executor interface."""

from __future__ import annotations

import abc

from stackl_flow.engines.executors.calls import Call, Report


class Executor(abc.ABC):
    """Performs calls and reports their completions.

    Any thread may call ``report``. All other methods are called by the engine's thread.
    """

    #: Whether the scheduler selects atoms in batches: one is complete before the next is selected.
    in_batches: bool = False

    #: Maximum number of calls to submit at once; None for no limit.
    slots: int | None = None

    @abc.abstractmethod
    def start(self) -> None:
        """Acquire resources, and discard the calls and reports of an earlier run."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Release what ``start`` acquired."""

    @abc.abstractmethod
    def submit(self, call: Call) -> None:
        """Accept a call; its completion is reported by ``wait``."""

    @abc.abstractmethod
    def report(self, report: Report) -> None:
        """Queue a report for ``wait``."""

    @abc.abstractmethod
    def wait(self, timeout: float | None = None) -> list[Report]:
        """Wait until something is reported, at most ``timeout`` seconds.

        Returns:
            All reports so far, in the order in which they arrived; an empty list after a timeout.
        """

    @abc.abstractmethod
    def cancel(self) -> None:
        """Recall the calls that have not started; each is reported as ``Cancelled``."""

    def is_engine_thread(self) -> bool:
        """Return whether the caller is the engine's own thread performing a call.

        There progress is stored at once instead of being reported.
        """
        return False
