"""A first flow: tasks pass values by name, and the engine returns all of them."""

from stackl_flow import engines, task
from stackl_flow.patterns import linear_flow


class Fetch(task.Task):
    """Provides the orders; the parameter makes `customer` an input of the flow."""

    default_provides = "orders"

    def execute(self, customer: str) -> list[int]:
        """Look up the orders."""
        print(f"fetching the orders of {customer}")
        return [30, 12]


class Bill(task.Task):
    """Takes what `Fetch` provides and the tax from the store."""

    default_provides = "total"

    def execute(self, orders: list[int], tax: float) -> float:
        """Add up the orders and the tax."""
        return sum(orders) * (1 + tax)


flow = linear_flow.Flow("billing").add(Fetch(), Bill())
print("the flow needs", sorted(flow.requires))

results = engines.run(flow, store={"customer": "Ada", "tax": 0.25})
for name in sorted(results):
    print(f"{name} = {results[name]}")
