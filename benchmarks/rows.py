"""A row of the results table: samples, the peer's samples and a target."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

UNITS = {"us": 1e6, "ms": 1e3, "s": 1.0, "B": 1.0, "KB": 1e-3, "n": 1.0, "/min": 60.0}


class Status(StrEnum):
    """Whether a target is reached."""

    REACHED = "reached"
    MISSED = "MISSED"
    NONE = "-"


@dataclass(frozen=True)
class Samples:
    """The samples of one measurement, in seconds or bytes."""

    name: str
    values: Sequence[float]

    @property
    def median(self) -> float:
        """The median of the samples."""
        return statistics.median(self.values)

    def scaled(self, unit: str) -> float:
        """Return the median in a unit of ``UNITS``.

        Returns:
            The median as the table shows it.
        """
        return self.median * UNITS[unit]


@dataclass(frozen=True)
class Goal:
    """A target: a limit of the ratio to the peer or of the figure itself."""

    at_most_ratio: float | None = None
    at_least_faster: float | None = None
    at_most: float | None = None

    def text(self, unit: str) -> str:
        """Format the target.

        Returns:
            A few words.
        """
        if self.at_most_ratio is not None:
            return f"<= {self.at_most_ratio:g}x peer"
        if self.at_least_faster is not None:
            return f">= {self.at_least_faster:g}x faster"
        return f"<= {self.at_most:,g} {unit}"

    def reached(self, ours: float, peer: float | None) -> bool:
        """Whether the medians, in the unit of the row, are within the limit.

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
    """A row of the table."""

    bench: str
    case: str
    unit: str
    ours: Samples
    peer: Samples | None = None
    goal: Goal | None = None
    judged: bool = True
    """Whether to compare with the target; False for the sizes of ``--quick``."""

    @property
    def ratio(self) -> float | None:
        """Our median divided by the peer's."""
        return None if self.peer is None else self.ours.median / self.peer.median

    @property
    def status(self) -> Status:
        """Whether the target is reached."""
        if self.goal is None or not self.judged:
            return Status.NONE
        peer = None if self.peer is None else self.peer.scaled(self.unit)
        reached = self.goal.reached(self.ours.scaled(self.unit), peer)
        return Status.REACHED if reached else Status.MISSED

    def to_dict(self) -> dict[str, Any]:
        """Return the row with all samples, for ``--json``.

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
            "status": self.status.value,
            "samples": list(self.ours.values),
            "peer_samples": None if peer is None else list(peer.values),
        }
