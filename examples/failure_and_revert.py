"""A task fails: all that was done before it is undone, last first, and the error comes out."""

from typing import Any

from stackl_flow import engines, task
from stackl_flow.patterns import linear_flow


class Book(task.Task):
    """Books something, and gives it back when the journey fails."""

    def execute(self) -> str:
        """Book."""
        print(f"booked    {self.name}")
        return f"{self.name}-0001"

    def revert(self, result: str, flow_failures: dict[str, Any], **_: Any) -> None:
        """Cancel what `execute` has returned."""
        culprits = ", ".join(sorted(flow_failures))
        print(f"cancelled {result}, because {culprits} failed")


class Pay(task.Task):
    """Fails."""

    def execute(self) -> None:
        """Refuse."""
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
