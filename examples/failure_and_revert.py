"""A task fails: completed tasks are reverted in reverse order, and the exception is raised."""

from typing import Any

from stackl_flow import engines, task
from stackl_flow.patterns import linear_flow


class Book(task.Task):
    """Books something, and cancels it if the flow fails."""

    def execute(self) -> str:
        """Book."""
        print(f"booked    {self.name}")
        return f"{self.name}-0001"

    def revert(self, result: str, flow_failures: dict[str, Any], **_: Any) -> None:
        """Cancel the booking that `execute` returned."""
        failed = ", ".join(sorted(flow_failures))
        print(f"cancelled {result}, because {failed} failed")


class Pay(task.Task):
    """Fails."""

    def execute(self) -> None:
        """Raise an error."""
        raise PermissionError("the card is blocked")


flow = linear_flow.Flow("journey").add(Book("flight"), Book("hotel"), Pay("payment"))
engine = engines.load(flow)
try:
    engine.run()
except PermissionError as error:
    print(f"the journey failed: {error}")

print("the flow is", engine.storage.get_flow_state())
for name in ("flight", "hotel", "payment"):
    print(f"{name} is", engine.storage.get_atom_state(name))
