"""A board of somebody else's making, with what our conductors ask of a board besides TaskFlow's verbs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from stackl_flow.compat.jobs import board_methods
from stackl_flow.jobboards.job import Ending, Turn


class _Nobody:
    """Says that nobody was asked to leave: such a board knows of no orders."""

    @staticmethod
    def is_drained(_name: str) -> bool:
        return False


class Foreign:
    """Answers for a board that has only TaskFlow's verbs; how its claims are kept up is its own business.

    Args:
        board: the board.
    """

    def __init__(self, board: Any) -> None:
        self._board = board
        self.presence = _Nobody()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._board, name)

    def connect(self) -> None:
        """Connect the board, unless it is connected."""
        if not self._board.connected:
            self._board.connect()

    def on_lost(self, callback: Callable[[str], None]) -> None:
        """Do nothing: nobody tells us of claims that are lost."""

    def keep_apart(self) -> None:
        """Do nothing."""

    def turn(
        self,
        who: str,
        ends: Iterable[Ending] = (),
        want: int = 0,
        can: Collection[str] | None = None,
        timeout: float | None = 0,
    ) -> Turn:
        """End claims and claim jobs, one after the other."""
        del can
        return board_methods.turn(self._board, who, ends, want, timeout)


def ours(board: Any) -> Any:
    """Make a board of ours of any board.

    Args:
        board: one of ours, or one with TaskFlow's verbs.

    Returns:
        The board itself, or what answers for it.
    """
    return board if board is None or hasattr(board, "turn") else Foreign(board)
