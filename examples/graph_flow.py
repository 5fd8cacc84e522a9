"""A graph flow orders its tasks by their inputs; a decider on an edge skips some of them."""

from stackl_flow import engines, task
from stackl_flow.patterns import deciders, graph_flow


class Weigh(task.Task):
    """Provides the weight."""

    default_provides = "weight"

    def execute(self, parcel: str) -> int:
        """Count one kilogram per letter."""
        return len(parcel)


class Price(task.Task):
    """Requires the weight, so it runs after `Weigh`, whatever the order of `add`."""

    default_provides = "price"

    def execute(self, weight: int) -> int:
        """Charge two per kilogram."""
        return 2 * weight


class Insure(task.Task):
    """Runs only if the decider returns true."""

    def execute(self, parcel: str) -> None:
        """Insure the parcel."""
        print(f"  insured {parcel}")


class Thank(task.Task):
    """Follows `Insure`, and is ignored with it."""

    def execute(self) -> None:
        """Thank the customer."""
        print("  thanked")


def is_expensive(history: dict[str, int]) -> bool:
    """Receive the results of the tasks before the edge, keyed by task name."""
    return history["price"] > 10  # noqa: PLR2004 - expensive


for parcel in ("book", "bookshelf"):
    price, insure, thank = Price("price"), Insure("insure"), Thank("thank")
    flow = graph_flow.Flow("post").add(thank, insure, price, Weigh("weigh"))
    # Depth.ALL: everything after `insure` is ignored, too; Depth.ATOM would ignore `insure` alone.
    flow.link(price, insure, decider=is_expensive, decider_depth=deciders.Depth.ALL)
    flow.link(insure, thank)
    engine = engines.load(flow, store={"parcel": parcel})
    print(parcel)
    engine.run()
    print("  price", engine.storage.fetch("price"), "- insure is", engine.storage.get_atom_state("insure"))
