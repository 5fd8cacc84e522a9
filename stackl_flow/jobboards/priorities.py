"""How urgent a job is."""

from __future__ import annotations

from enum import Enum
from typing import Final, Self


class JobPriority(Enum):
    """TaskFlow's five steps of urgency, the most urgent first."""

    VERY_HIGH = "VERY_HIGH"
    HIGH = "HIGH"
    NORMAL = "NORMAL"
    LOW = "LOW"
    VERY_LOW = "VERY_LOW"

    @classmethod
    def convert(cls, value: str | JobPriority) -> Self:
        """Read a priority.

        Args:
            value: a priority, or the name of one in any case.

        Returns:
            The priority.

        Raises:
            ValueError: there is no such priority.
        """
        if isinstance(value, cls):
            return value
        try:
            return cls(str(value).upper())
        except ValueError:
            known = ", ".join(priority.value for priority in cls)
            raise ValueError(f"{value!r} is no priority: write one of {known}") from None

    @property
    def rank(self) -> int:
        """Its place in the order, 0 for the most urgent."""
        return _RANKS[self.value]

    @classmethod
    def reorder(cls, *pairs: tuple[str | JobPriority, object]) -> tuple[object, ...]:
        """Order values by their priority; those of one priority keep their order.

        Args:
            pairs: (priority, value) pairs.

        Returns:
            The values, the most urgent first.

        Raises:
            ValueError: there is no pair, or a priority is none.
        """
        if not pairs:
            raise ValueError("give at least one (priority, value) pair")
        return tuple(value for _, value in sorted(pairs, key=lambda pair: cls.convert(pair[0]).rank))


_RANKS: Final = {priority.value: rank for rank, priority in enumerate(JobPriority)}
