"""Suspend a run between two steps, and continue it later."""

from stackl_flow import engines, states, task
from stackl_flow.patterns import linear_flow


class Step(task.Task):
    """Prints its name."""

    def execute(self) -> None:
        """Run."""
        print(f"  {self.name}")


flow = linear_flow.Flow("steps").add(Step("first"), Step("second"), Step("third"))
engine = engines.load(flow)

print("run until the first result, then suspend:")
for state in engine.run_iter():
    if state == states.ANALYZING:
        engine.suspend()
print("the flow is", engine.storage.get_flow_state())

print("continue:")
engine.run()
print("the flow is", engine.storage.get_flow_state())
