"""Adapter that lets the conductors of this library use boards with TaskFlow's methods only."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from stackl_flow.compat.jobs import board_methods
from stackl_flow.jobboards.base import ClaimBatch, JobCompletion


class _NoMembership:
    """A membership without drain requests, because such boards have none."""

    @staticmethod
    def is_drain_requested(_name: str) -> bool:
        return False


class BoardAdapter:
    """Adds the methods that conductors need to a board; the board itself keeps its claims alive.

    Args:
        board: a board with TaskFlow's methods.
    """

    def __init__(self, board: Any) -> None:
        self._board = board
        self.membership = _NoMembership()

    #: Such boards have no requests to check for.
    change_count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._board, name)

    def connect(self) -> None:
        """Connect the board unless it is connected."""
        if not self._board.connected:
            self._board.connect()

    def on_lease_lost(self, callback: Callable[[str], None]) -> None:
        """Do nothing: such boards do not report lost leases."""

    def add_worker(self, owner: str, is_worked_on: Callable[[Any], bool]) -> None:
        """Do nothing: such boards do not remember claims."""

    def remove_worker(self, owner: str, is_worked_on: Callable[[Any], bool]) -> bool:
        """Return True: such boards do not remember claims."""
        del owner, is_worked_on
        return True

    def idle_claims(self, owner: str) -> list[Any]:
        """Return no jobs: such boards do not remember claims."""
        del owner
        return []

    def settle_claims(self) -> None:
        """Do nothing: such boards do not remember claims."""

    def use_heartbeat_process(self) -> None:
        """Do nothing: such boards have their own heartbeat."""

    def complete_and_claim(
        self,
        owner: str,
        completions: Iterable[JobCompletion] = (),
        limit: int = 0,
        capabilities: Collection[str] | None = None,
        timeout: float | None = 0,
    ) -> ClaimBatch:
        """End claims and claim jobs, one by one."""
        del capabilities
        return board_methods.complete_and_claim(self._board, owner, completions, limit, timeout)


def adapt(board: Any) -> Any:
    """Return a board of this library itself, and an adapter for other boards."""
    return board if board is None or hasattr(board, "complete_and_claim") else BoardAdapter(board)
