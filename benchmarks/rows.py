"""A line of the table: what was measured, beside what, and how far it should go."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

UNITS = {"us": 1e6, "ms": 1e3, "s": 1.0, "B": 1.0, "n": 1.0}


class Verdict(StrEnum):
    """Whether a figure reached its target."""

    REACHED = "reached"
    SHORT = "SHORT"
    NONE = "-"


@dataclass(frozen=True)
class Samples:
    """The repetitions of one measurement, in seconds or bytes."""

    name: str
    values: Sequence[float]

    @property
    def median(self) -> float:
        """The middle of the repetitions."""
        return statistics.median(self.values)

    def scaled(self, unit: str) -> float:
        """The median in the unit of the row.

        Args:
            unit: one of ``UNITS``.

        Returns:
            The median as the table shows it.
        """
        return self.median * UNITS[unit]


@dataclass(frozen=True)
class Goal:
    """A target of the design: a bound on the ratio to the peer, or on the figure itself."""

    at_most_ratio: float | None = None
    at_least_faster: float | None = None
    at_most: float | None = None

    def text(self, unit: str) -> str:
        """The target in words, for the table.

        Args:
            unit: the unit of the row, for a bound on the figure itself.

        Returns:
            A few words.
        """
        if self.at_most_ratio is not None:
            return f"<= {self.at_most_ratio:g}x peer"
        if self.at_least_faster is not None:
            return f">= {self.at_least_faster:g}x faster"
        return f"<= {self.at_most:,g} {unit}"

    def reached(self, ours: float, peer: float | None) -> bool:
        """Whether the figures are within the bound.

        Args:
            ours: our median, in the unit of the row.
            peer: the median of the peer, in the unit of the row; None when there is none.

        Returns:
            True when the target is reached.
        """
        if self.at_most is not None:
            return ours <= self.at_most
        if peer is None:
            return False
        if self.at_least_faster is not None:
            return peer >= self.at_least_faster * ours
        return self.at_most_ratio is not None and ours <= self.at_most_ratio * peer


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    bench: str
    case: str
    unit: str
    ours: Samples
    peer: Samples | None = None
    goal: Goal | None = None
    judged: bool = True
    """False when the sizes are too small for the target to mean anything (``--quick``)."""

    @property
    def ratio(self) -> float | None:
        """Ours over the peer's: below 1 we are the better one."""
        return None if self.peer is None else self.ours.median / self.peer.median

    @property
    def verdict(self) -> Verdict:
        """Whether the target, if there is one, is reached."""
        if self.goal is None or not self.judged:
            return Verdict.NONE
        peer = None if self.peer is None else self.peer.scaled(self.unit)
        reached = self.goal.reached(self.ours.scaled(self.unit), peer)
        return Verdict.REACHED if reached else Verdict.SHORT

    def to_dict(self) -> dict[str, Any]:
        """The row with all its repetitions, for ``--json``.

        Returns:
            Plain JSON types; the samples are in seconds or bytes.
        """
        peer = self.peer
        return {
            "bench": self.bench,
            "case": self.case,
            "unit": self.unit,
            "ours": self.ours.scaled(self.unit),
            "peer": None if peer is None else peer.scaled(self.unit),
            "peer_name": None if peer is None else peer.name,
            "ratio": self.ratio,
            "target": None if self.goal is None else self.goal.text(self.unit),
            "verdict": self.verdict.value,
            "samples": list(self.ours.values),
            "peer_samples": None if peer is None else list(peer.values),
        }
