"""Wakes threads of one process: whatever comes after somebody began to wait is not lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Rings:
    """Counts how often was rung."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    def ring(self) -> None:
        """Wake all who wait."""
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    @contextmanager
    def waiting(self) -> Iterator[Waiter]:
        """Begin to wait.

        Yields:
            What to wait at.
        """
        yield Waiter(self)

    def count(self) -> int:
        """Return how often was rung."""
        return self._count

    def later(self, count: int, seconds: float) -> int:
        """Wait until it was rung more often.

        Args:
            count: how often it was, as far as is known.
            seconds: how long to wait at most.

        Returns:
            How often it was rung now.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._count != count, seconds)
            return self._count


class Waiter:
    """One who waits.

    Args:
        rings: what for.
    """

    def __init__(self, rings: Rings) -> None:
        self._rings = rings
        self._count = rings.count()

    def wait(self, seconds: float) -> None:
        """Return when it was rung since the last time, or after that time.

        Args:
            seconds: how long at most.
        """
        self._count = self._rings.later(self._count, seconds)
