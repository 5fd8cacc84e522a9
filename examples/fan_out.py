"""Tasks of an unordered flow run at the same time on the parallel engine; one more gathers the results."""

import threading

from stackl_flow import engines, task
from stackl_flow.patterns import linear_flow, unordered_flow

TOWNS = ["Bergen", "Oslo", "Tromso"]
# Everybody waits here until all have come: it would never end if they ran one after the other.
together = threading.Barrier(len(TOWNS), timeout=10)


class Measure(task.Task):
    """Measures one town; each object has a name of its own and provides a value of its own."""

    def __init__(self, town: str) -> None:
        super().__init__(name=f"measure {town}", provides=town, inject={"town": town})

    def execute(self, town: str) -> int:
        """Measure, all at once."""
        together.wait()
        return len(town)


class Gather(task.Task):
    """Needs every town."""

    default_provides = "report"

    def execute(self, **measured: int) -> str:
        """Join the results."""
        return ", ".join(f"{town} {measured[town]}" for town in TOWNS)


fan = unordered_flow.Flow("fan out").add(*(Measure(town) for town in TOWNS))
flow = linear_flow.Flow("weather").add(fan, Gather(requires=TOWNS))
print(engines.run(flow, engine="parallel", max_workers=len(TOWNS))["report"])
