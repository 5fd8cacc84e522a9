"""What every executor is."""

from __future__ import annotations

import abc

from stackl_flow.engines.executors.calls import Call, Report


class Executor(abc.ABC):
    """Performs calls, and reports what came of them in the order in which they come back."""

    #: Whether calls are performed one by one, so that the engine chooses anew only after all came back.
    waves: bool = False

    #: How many calls to hand over at once; None for as many as there are.
    slots: int | None = None

    @abc.abstractmethod
    def start(self) -> None:
        """Get ready."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Let go of everything that ``start`` took."""

    @abc.abstractmethod
    def submit(self, call: Call) -> None:
        """Take a call to be performed.

        Args:
            call: what is to be performed.
        """

    @abc.abstractmethod
    def report(self, entry: Report) -> None:
        """Note something to be handed out by ``wait``; any thread may call this.

        Args:
            entry: what there is to report.
        """

    def here(self) -> bool:
        """Say whether this is the engine's own thread, at work on a call; there reports need not wait."""
        return False

    @abc.abstractmethod
    def wait(self, timeout: float | None = None) -> list[Report]:
        """Wait until something is reported.

        Args:
            timeout: for how many seconds at most; None for as long as it takes.

        Returns:
            All reports that are there; none when the time is up.
        """

    @abc.abstractmethod
    def cancel(self) -> None:
        """Take back what has not begun; each such call is reported as cancelled."""
