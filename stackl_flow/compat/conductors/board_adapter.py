"""A board of somebody else's making, with what our conductors ask of a board besides TaskFlow's verbs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from stackl_flow.compat.jobs import board_methods
from stackl_flow.jobboards.base import ClaimBatch, Completion


class _Nobody:
    """Says that nobody was asked to leave: such a board knows of no orders."""

    @staticmethod
    def is_drain_requested(_name: str) -> bool:
        return False


class Foreign:
    """Answers for a board that has only TaskFlow's verbs; how its claims are kept up is its own business.

    Args:
        board: the board.
    """

    def __init__(self, board: Any) -> None:
        self._board = board
        self.membership = _Nobody()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._board, name)

    def connect(self) -> None:
        """Connect the board, unless it is connected."""
        if not self._board.connected:
            self._board.connect()

    def on_lease_lost(self, callback: Callable[[str], None]) -> None:
        """Do nothing: nobody tells us of claims that are lost."""

    def use_heartbeat_process(self) -> None:
        """Do nothing."""

    def complete_and_claim(
        self,
        owner: str,
        completions: Iterable[Completion] = (),
        limit: int = 0,
        capabilities: Collection[str] | None = None,
        timeout: float | None = 0,
    ) -> ClaimBatch:
        """End claims and claim jobs, one after the other."""
        del capabilities
        return board_methods.complete_and_claim(self._board, owner, completions, limit, timeout)


def ours(board: Any) -> Any:
    """Make a board of ours of any board.

    Args:
        board: one of ours, or one with TaskFlow's verbs.

    Returns:
        The board itself, or what answers for it.
    """
    return board if board is None or hasattr(board, "complete_and_claim") else Foreign(board)
