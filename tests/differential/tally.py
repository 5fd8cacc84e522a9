"""How many random flows needed what to agree; printed at the end of the test run."""

from __future__ import annotations

from collections import Counter


class Tally:
    """Counts of verdicts."""

    def __init__(self) -> None:
        self.verdicts: Counter[str] = Counter()

    def count(self, verdict: str) -> None:
        self.verdicts[
            "another order of TaskFlow's" if verdict.startswith("shuffle") else verdict or "DIFFERENT"
        ] += 1

    def lines(self) -> list[str]:
        total = sum(self.verdicts.values())
        return [
            f"{total} random flows on TaskFlow and on us",
            *(f"  {n:6} {what}" for what, n in self.verdicts.most_common()),
        ]


TALLY = Tally()
