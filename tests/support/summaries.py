"""Counts that tests collect for the end of the run's output, added up over all workers."""

from __future__ import annotations

from collections import Counter
from typing import Any

#: By title of the section, then by what is counted.
COUNTS: dict[str, Counter[str]] = {}


def count(section: str, what: str, number: float = 1) -> None:
    """Add to a count."""
    COUNTS.setdefault(section, Counter())[what] += number  # type: ignore[assignment]  # seconds are counted, too


def merge(counts: dict[str, dict[str, Any]]) -> None:
    """Add the counts of a worker."""
    for section, numbers in counts.items():
        for what, number in numbers.items():
            count(section, what, number)


def sections() -> dict[str, list[str]]:
    """Write one line a count, the largest first, by section."""
    return {
        section: [f"{number:8.6g} {what}" for what, number in numbers.most_common()]
        for section, numbers in COUNTS.items()
    }
