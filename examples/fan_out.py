"""Tasks of an unordered flow run concurrently on the parallel engine; another task joins the results."""

import threading

from stackl_flow import engines, task
from stackl_flow.patterns import linear_flow, unordered_flow

TOWNS = ["Bergen", "Oslo", "Tromso"]
# All tasks wait here for each other: serial execution would time out.
together = threading.Barrier(len(TOWNS), timeout=10)


class Measure(task.Task):
    """Measures one town; each instance has its own name and provides its own value."""

    def __init__(self, town: str) -> None:
        super().__init__(name=f"measure {town}", provides=town, inject={"town": town})

    def execute(self, town: str) -> int:
        """Measure, concurrently."""
        together.wait()
        return len(town)


class Gather(task.Task):
    """Requires the value of every town."""

    default_provides = "report"

    def execute(self, **measured: int) -> str:
        """Join the results."""
        return ", ".join(f"{town} {measured[town]}" for town in TOWNS)


fan = unordered_flow.Flow("fan out").add(*(Measure(town) for town in TOWNS))
flow = linear_flow.Flow("weather").add(fan, Gather(requires=TOWNS))
print(engines.run(flow, engine="parallel", max_workers=len(TOWNS))["report"])
